#!/usr/bin/env bash
# Pages from three services: CPU beside one proxied request and beside nginx's SSI, what a page adds to its slowest service,
# and what tracing costs.
#
#   bench/bff.sh [--rounds 5] [--requests 60000] [--pairs 500] [--connections 64] [--only "parts cpu latency tracing"]
#
# parts: the plan and the splice without I/O (bff_bench), against their bars. cpu: CPU of a page of three (1 KB each) over
# that of one proxied request, paired inside a round; nginx makes the same page with SSI in the same round. latency: three
# services of 20 ms exactly, asked directly and as a page in turn (bench_page_latency). tracing: CPU of a proxied request
# with no tracing, with 1 % sampled and with all sampled, to a collector that takes everything, and with a dead one.
#
# The gateway has core 0, everything else core 1, as in bench/proxy.sh, whose README says why. Exit 0 when every bar holds,
# 1 when one does not. WEIR_BIN names the folder of the programs (build/release/bin).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
rounds=5 requests=60000 pairs=500 connections=64 only="parts cpu latency tracing"

usage() { sed -n '2,6p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --requests) requests=$2; shift 2 ;;
    --pairs) pairs=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) usage ;;
  esac
done
# shellcheck source=bench/lib.sh
source "$root/bench/lib.sh"
need bench_load bench_page_latency weir

mapfile -t ports < <("$bin/bench_load" --free-ports 12)
origin_port=${ports[0]} services_port=${ports[1]} nginx_port=${ports[2]} collector_port=${ports[3]}
status=0
median() { sort -g | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
wants() { [[ " $only " == *" $1 "* ]]; }
judge() {  # WHAT VALUE BAR UNIT
  local verdict=ok
  if awk -v v="$2" -v b="$3" 'BEGIN {exit !(v > b)}'; then verdict=MISSED status=1; fi
  printf '%-58s %10.2f %-4s bar %-6s %s\n' "$1" "$2" "$4" "$3" "$verdict"
}

# Starts a program on a core and waits until its port answers; the pid is in $started.
start() {  # NAME CORE PORT COMMAND...
  local name=$1 core=$2 port=$3; shift 3
  mkdir -p "$work/$name"
  (cd "$work/$name" && exec taskset -c "$core" "$@") >"$work/$name.out" 2>&1 &
  started=$!
  pids+=("$started")
  await "$name" "$started" "$port" "$work/$name.out"
}
weir() {  # NAME PORT ADMIN_PORT [TRACING]
  mkdir -p "$work/$1"
  sed -e "s/127\.0\.0\.1:18080/127.0.0.1:$origin_port/; s/127\.0\.0\.1:18081/127.0.0.1:$2/; s/127\.0\.0\.1:18082/127.0.0.1:$3/" \
    -e "s/127\.0\.0\.1:18083/127.0.0.1:$services_port/; s|^# TRACING|${4:-}|" "$root/bench/bff/weir.yaml" >"$work/$1/weir.yaml"
  start "$1" 0 "$2" "$bin/weir" run weir.yaml
}
cpu_of() {  # PORT PID PATH
  local line
  line=$(taskset -c 1 "$bin/bench_load" "127.0.0.1:$1" --origin "127.0.0.1:$origin_port" --connections "$connections" --path "$3" \
    --client-header --requests "$requests" --warmup $((requests / 20 + connections)) --watch-pid "$2") ||
    { echo "requests failed: $line" >&2; exit 1; }
  field cpu_us_per_request <<<"$line"
}

if wants parts; then
  if [[ -x $bin/bff_bench ]]; then
    taskset -c 0 "$bin/bff_bench" --benchmark_format=csv --benchmark_repetitions=5 --benchmark_report_aggregates_only=true \
      2>/dev/null >"$work/parts.csv"
    part() { awk -F, -v n="\"$1_median\"" '$1 == n {print $4 / 1000}' "$work/parts.csv"; }
    judge "plan of 3 calls without I/O, CPU" "$(part BM_Plan/3)" 1.5 us
    judge "plan of 16 calls" "$(part BM_Plan/16)" 6 us
    judge "validate and splice 4.7 KB" "$(part BM_Splice/4700)" 4 us
    judge "validate and splice 113 KB" "$(part BM_Splice/113000)" 80 us
    allocations=$(awk -F, '/BM_Plan.*_median/ {sum += $(NF - 1)} END {print sum + 0}' "$work/parts.csv")
    judge "allocations of a plan after warm-up" "$allocations" 0 ""
  else
    echo "no bff_bench: built without Google Benchmark?" >&2
    exit 2
  fi
fi

if wants cpu || wants latency; then
  weir gateway "${ports[4]}" "${ports[5]}"
  weir_pid=$started
fi

if wants cpu; then
  mkdir -p "$work/nginx"
  sed -e "s/127\.0\.0\.1:18080/127.0.0.1:$origin_port/; s/127\.0\.0\.1:18081/127.0.0.1:$nginx_port/" "$root/bench/bff/nginx.conf" \
    >"$work/nginx/nginx.conf"
  printf '{"a":<!--# include virtual="/json/1000?a" -->,"b":<!--# include virtual="/json/1000?b" -->,"c":<!--# include virtual="/json/1000?c" -->}' \
    >"$work/nginx/page.shtml"
  start nginx 0 "$nginx_port" "$(command -v nginx || echo /usr/sbin/nginx)" -p "$work/nginx" -c "$work/nginx/nginx.conf" -e stderr
  nginx_pid=$started
  echo "CPU us; $connections keep-alive connections, three services of 1 KB, $requests requests a run, $rounds rounds"
  printf '%-8s%14s%14s%14s%14s\n' round weir-proxied weir-page nginx-proxied nginx-ssi
  for ((round = 1; round <= rounds; round++)); do
    proxied=$(cpu_of "${ports[4]}" "$weir_pid" /json/1000)
    page=$(cpu_of "${ports[4]}" "$weir_pid" /page)
    nginx=$(cpu_of "$nginx_port" "$nginx_pid" /json/1000)
    ssi=$(cpu_of "$nginx_port" "$nginx_pid" /page)
    printf '%-8s%14s%14s%14s%14s\n' "$round" "$proxied" "$page" "$nginx" "$ssi"
    awk -v a="$page" -v b="$proxied" 'BEGIN {print a / b}' >>"$work/ratio"
    awk -v a="$page" -v b="$ssi" 'BEGIN {print a / b}' >>"$work/ssi"
  done
  judge "page of three over one proxied request, CPU" "$(median <"$work/ratio")" 3.3 x
  printf '%-58s %10.2f x\n' "page of three over nginx SSI, CPU (for information)" "$(median <"$work/ssi")"
  kill "$nginx_pid"
fi

if wants latency; then
  taskset -c 1 "$bin/bench_page_latency" "127.0.0.1:$services_port" "127.0.0.1:${ports[4]}" --pairs "$pairs" --path /slow >"$work/latency"
  cat "$work/latency"
  judge "added to the slowest of three 20 ms services, p50" "$(grep ^added "$work/latency" | field p50_us)" 250 us
  judge "the same, p99" "$(grep ^added "$work/latency" | field p99_us)" 1000 us
fi

if wants tracing; then
  # The collector takes whatever comes, on a core of its own to speak of: its answers are no JSON, which counts as taken.
  start collector 1 "$collector_port" "$bin/bench_collector" "127.0.0.1:$collector_port"
  weir none "${ports[6]}" "${ports[7]}"; none=$started
  otlp="otlp: \"http://127.0.0.1:$collector_port\""
  weir one "${ports[8]}" "${ports[9]}" "tracing: {$otlp, sample: 1%}"; one=$started
  weir all "${ports[10]}" "${ports[11]}" "tracing: {$otlp, sample: 100%}"; all=$started
  mapfile -t more < <("$bin/bench_load" --free-ports 3)
  weir dead "${more[0]}" "${more[1]}" "tracing: {otlp: \"http://127.0.0.1:${more[2]}\", sample: 100%}"; dead=$started
  printf '%-8s%12s%12s%12s%12s\n' round none one-percent all dead
  for ((round = 1; round <= rounds; round++)); do
    base=$(cpu_of "${ports[6]}" "$none" /json/1000)
    some=$(cpu_of "${ports[8]}" "$one" /json/1000)
    whole=$(cpu_of "${ports[10]}" "$all" /json/1000)
    lost=$(cpu_of "${more[0]}" "$dead" /json/1000)
    printf '%-8s%12s%12s%12s%12s\n' "$round" "$base" "$some" "$whole" "$lost"
    awk -v a="$some" -v b="$base" 'BEGIN {print (a / b - 1) * 100}' >>"$work/some"
    awk -v a="$whole" -v b="$base" 'BEGIN {print (a / b - 1) * 100}' >>"$work/whole"
    awk -v a="$lost" -v b="$base" 'BEGIN {print (a / b - 1) * 100}' >>"$work/lost"
  done
  judge "tracing, 1 % sampled: more CPU a proxied request" "$(median <"$work/some")" 1 %
  judge "tracing, all sampled and exported" "$(median <"$work/whole")" 6 %
  judge "tracing, all sampled, collector dead" "$(median <"$work/lost")" 6 %
  counted=$(curl -s "http://127.0.0.1:${more[1]}/metrics" | awk '/^weir_trace_spans_total.*dropped/ {sum += $2} END {print sum + 0}')
  echo "spans dropped and counted beside the dead collector: $counted"
  [[ $counted -gt 0 ]] || status=1
fi
exit $status
