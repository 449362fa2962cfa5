#!/usr/bin/env bash
# CPU time per proxied request: weir with its chain on, beside a bare loop, plain nginx and plain HAProxy.
#
#   bench/proxy.sh [--connections 64] [--body 200] [--rounds 5] [--requests 200000] [--record] [--only LIST]
#
# All proxies stay up on core 0. Load generator and origin are one thread on core 1 that never sleeps: waking
# a sleeping peer would count as the proxy's time, more of it the slower the proxy is. In each round every
# proxy gets the same number of requests in turn, so that whatever else the machine does meets all of them.
# The figure is what the scheduler has charged to the proxy's threads, user and system, over the requests
# answered (bench_load --watch-pid). Ratios are formed inside a round; the table shows their median and range.
#
# Exit 0 when weir holds both bars (at most 1.25x of the loop, at most 0.9x of each rival), 1 when not. Other
# connection counts and bodies are for information: their exit status says only that all requests succeeded.
# --record adds a dated file to bench/results/. WEIR_BIN names the folder of the programs (build/release/bin).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
connections=64 body=200 rounds=5 requests=200000 record=no only="floor weir nginx haproxy"
bar_floor=1.25 bar_rival=0.9

usage() { sed -n '2,5p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --connections) connections=$2; shift 2 ;;
    --body) body=$2; shift 2 ;;
    --rounds) rounds=$2; shift 2 ;;
    --requests) requests=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --record) record=yes; shift ;;
    *) usage ;;
  esac
done
# shellcheck source=bench/lib.sh
source "$root/bench/lib.sh"
need bench_load bench_floor
[[ " $only " != *" weir "* ]] || need weir

load() { taskset -c 1 "$bin/bench_load" "$@" --origin "127.0.0.1:$origin_port" --body "$body"; }

# Starts one proxy on core 0 and waits until its port answers.
start() {  # NAME PORT COMMAND...
  local name=$1 port=$2; shift 2
  (cd "$work" && exec taskset -c 0 "$@") >"$work/$name.out" 2>&1 &
  local pid=$!
  pids+=("$pid")
  await "$name" "$pid" "$port" "$work/$name.out"
  printf -v "pid_$name" '%s' "$pid"
}

mapfile -t ports < <("$bin/bench_load" --free-ports 6)
origin_port=${ports[0]}
declare -A port=([floor]=${ports[1]} [weir]=${ports[2]} [nginx]=${ports[3]} [haproxy]=${ports[4]})
place() {  # FILE PROXY: the configuration with the ports of this run
  sed -e "s/127\.0\.0\.1:18080/127.0.0.1:$origin_port/; s/127\.0\.0\.1:18081/127.0.0.1:${port[$2]}/" \
    -e "s/127\.0\.0\.1:18082/127.0.0.1:${ports[5]}/" "$root/bench/proxy/$1" >"$work/$1"
}

for proxy in $only; do
  case $proxy in
    floor) start floor "${port[floor]}" "$bin/bench_floor" "127.0.0.1:${port[floor]}" "127.0.0.1:$origin_port" ;;
    weir) place weir.yaml weir; start weir "${port[weir]}" "$bin/weir" run "$work/weir.yaml" ;;
    nginx) place nginx.conf nginx; start nginx "${port[nginx]}" "$(command -v nginx || echo /usr/sbin/nginx)" -p "$work" -c "$work/nginx.conf" -e stderr ;;
    haproxy) place haproxy.cfg haproxy; start haproxy "${port[haproxy]}" "$(command -v haproxy || echo /usr/sbin/haproxy)" -db -f "$work/haproxy.cfg" ;;
    *) echo "unknown proxy $proxy" >&2; exit 2 ;;
  esac
done

echo "CPU us per request; $connections keep-alive connections, $body-byte body, $requests requests a run, $rounds rounds"
printf '%-8s' round; printf '%10s' $only; echo
samples=$work/samples   # round proxy cpu rps p50 p99
for ((round = 1; round <= rounds; round++)); do
  printf '%-8s' "$round"
  for proxy in $only; do
    pid=pid_$proxy
    line=$(load "127.0.0.1:${port[$proxy]}" --connections "$connections" --requests "$requests" \
      --warmup $((requests / 20 + connections)) --watch-pid "${!pid}") ||
      { echo; echo "$proxy failed requests: $line" >&2; tail -5 "$work/$proxy.out" >&2; exit 1; }
    cpu=$(field cpu_us_per_request <<<"$line")
    echo "$round $proxy $cpu $(field rps <<<"$line") $(field p50_us <<<"$line") $(field p99_us <<<"$line")" >>"$samples"
    printf '%10s' "$cpu"
  done
  echo
done

# median, lowest and highest of the numbers on stdin
spread() { sort -g | awk '{v[NR] = $1} END {m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; printf "%.2f %.2f %.2f", m, v[1], v[NR]}'; }
of() { awk -v p="$1" -v c="$2" '$2 == p {print $c}' "$samples"; }
ratios() { paste -d' ' <(of weir 3) <(of "$1" 3) | awk '{print $1 / $2}' | spread; }

echo
printf '%-8s %8s %17s %9s %8s %8s\n' proxy median 'range' rps p50_us p99_us
for proxy in $only; do
  read -r median low high < <(of "$proxy" 3 | spread; echo)
  printf '%-8s %8s %8s-%-8s %9.0f %8.0f %8.0f\n' "$proxy" "$median" "$low" "$high" \
    "$(of "$proxy" 4 | spread | cut -d' ' -f1)" "$(of "$proxy" 5 | spread | cut -d' ' -f1)" "$(of "$proxy" 6 | spread | cut -d' ' -f1)"
done

status=0
if [[ " $only " == *" weir "* ]]; then
  echo
  for other in $only; do
    [[ $other == weir ]] && continue
    read -r median low high < <(ratios "$other"; echo)
    bar=$bar_rival
    [[ $other == floor ]] && bar=$bar_floor
    if [[ $connections != 64 || $body != 200 ]]; then
      printf 'weir / %-8s %5s  (%s-%s)  for information\n' "$other" "$median" "$low" "$high"
      continue
    fi
    verdict=ok
    if awk -v r="$median" -v b="$bar" 'BEGIN {exit !(r > b)}'; then verdict=MISSED status=1; fi
    printf 'weir / %-8s %5s  (%s-%s)  bar %-5s %s\n' "$other" "$median" "$low" "$high" "$bar" "$verdict"
  done
fi

if [[ $record == yes ]]; then
  mkdir -p "$root/bench/results"
  file=$root/bench/results/proxy-$(date -u +%Y-%m-%d).csv
  [[ -s $file ]] || echo "commit,cpu,cores,connections,body,requests,round,proxy,cpu_us_per_request,rps,p50_us,p99_us" >"$file"
  commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1 | tr , ' ')
  awk -v head="$commit,$model,$(nproc),$connections,$body,$requests" '{print head "," $1 "," $2 "," $3 "," $4 "," $5 "," $6}' \
    "$samples" >>"$file"
  echo "recorded in ${file#"$root"/}"
fi
exit $status
