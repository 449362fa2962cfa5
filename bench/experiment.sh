#!/usr/bin/env bash
# What experiments and flags cost: in the library, over HTTP, and on the way of a proxied request.
#
#   bench/experiment.sh [--rounds 5] [--requests 20000] [--library-only | --http-only] [--instructions]
#
# Library: experiment_bench (bars there). HTTP: CPU of weir per answer of OFREP, for 350 flags, 5 and one, each with
# three conditions and a split, another user in every request, so nothing can be remembered. Path: the same proxied
# request with 50 live experiments and without, two gateways that take turns; the difference of a round is the figure:
# for a thousand users who come again and again, and for users whom the gateway meets for the first time, each of whom is
# 50 exposures to remember.
# CPU is what the scheduler has charged to the gateway's threads (bench_load --watch-pid); the gateway has core 0, the
# load core 1. --instructions counts them instead, with callgrind: slow, but the same on a busy machine.
#
# Exit 0 when every bar holds. WEIR_BIN names the folder of the programs (build/release/bin).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
rounds=5 requests=20000 library=yes http=yes instructions=no
usage() { sed -n '2,4p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --requests) requests=$2; shift 2 ;;
    --library-only) http=no; shift ;;
    --http-only) library=no; shift ;;
    --instructions) instructions=yes; shift ;;
    *) usage ;;
  esac
done
# shellcheck source=bench/lib.sh
source "$root/bench/lib.sh"
need bench_load weir experiment_bench
[[ $instructions == no ]] || command -v valgrind >/dev/null || { echo "no valgrind here" >&2; exit 2; }

[[ $library == no ]] || "$bin/experiment_bench" --benchmark_min_time=0.3
[[ $http == yes ]] || exit 0

mapfile -t ports < <("$bin/bench_load" --free-ports 8)
origin=127.0.0.1:${ports[7]}

flags_file() {  # COUNT
  echo "flags:"
  for ((i = 0; i < $1; i++)); do
    echo "  - {key: flag_$i, type: string, default: off, rules: [{when: {country: {in: [US, CA]}, app_version:" \
      "{semver_gte: \"2.1.0\"}, beta: {eq: true}}, variants: [{name: control, weight: 50}, {name: treatment, weight: 50}]}]}"
  done
}
experiments_file() {  # COUNT
  echo "experiments:"
  for ((i = 0; i < $1; i++)); do
    echo "  - {key: experiment_$i, variants: [{name: control, weight: 50}, {name: treatment, weight: 50}]}"
  done
}
head_of() {  # PORT
  printf 'listen: 127.0.0.1:%s\nworkers: 1\naccess_log: access.log\nlimits: {connections_per_address: off}\n' "$1"
}
for count in 350 5 1; do flags_file $count >"$work/flags_$count.yaml"; done
experiments_file 50 >"$work/experiments_50.yaml"
declare -A port=([350]=${ports[0]} [5]=${ports[1]} [1]=${ports[2]} [with]=${ports[3]} [without]=${ports[4]} [first]=${ports[3]})
for count in 350 5 1; do
  { head_of "${port[$count]}"
    printf 'experiments: {file: flags_%s.yaml}\nroutes: [{path: /ofrep/*, serve: experiments}]\n' $count; } >"$work/$count.yaml"
done
keys=$(seq -s, -f 'experiment_%g' 0 49)
for kind in with without; do
  { head_of "${port[$kind]}"
    printf 'experiments: {file: experiments_50.yaml, anonymous: off, attributes: {targetingKey: "header:X-User"}}\n'
    printf 'upstreams: {origin: {endpoints: [http://%s]}}\n' "$origin"
    printf 'routes: [{path: /*, upstream: origin%s}]\n' "$([[ $kind == with ]] && echo ", experiments: [$keys]")"; } >"$work/$kind.yaml"
done

start() {  # NAME [COMMAND BEFORE IT...]
  local name=$1; shift
  (cd "$work" && exec taskset -c 0 "$@" "$bin/weir" run "$name.yaml") >"$work/$name.out" 2>&1 &
  local pid=$!
  pids+=("$pid")
  for ((i = 0; i < 3000; i++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/${port[$name]}") 2>/dev/null; then printf -v "pid_$name" '%s' "$pid"; return; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.02
  done
  echo "weir did not start with $name.yaml:" >&2
  cat "$work/$name.out" >&2
  exit 2
}
stop() { kill "$1"; wait "$1" || true; }  # PID

body='{"context": {"targetingKey": "0190f3a1-7c1e-4d0a-9b1f-########", "country": "CA", "app_version": "2.10.3", "beta": true}}'
load() {  # NAME REQUESTS [ARGUMENTS...]
  local name=$1 count=$2 kind=(); shift 2
  case $name in
    350 | 5) kind=(--path /ofrep/v1/evaluate/flags --post "$body") ;;
    1) kind=(--path /ofrep/v1/evaluate/flags/flag_0 --post "$body") ;;
    with | without) kind=(--numbers 1000 --field "X-User: 0190f3a1-7c1e-4d0a-9b1f-########" --origin "$origin") ;;
    *) kind=(--field "X-User: 0190f3a1-7c1e-4d0a-9b1f-########" --origin "$origin") ;;
  esac
  taskset -c 1 "$bin/bench_load" "127.0.0.1:${port[$name]}" --connections 64 --awake --requests "$count" "${kind[@]}" "$@"
}
spread() { sort -g | awk '{v[NR] = $1} END {m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; printf "%.2f %.2f %.2f\n", m, v[1], v[NR]}'; }

status=0
verdict() {  # WHAT MEDIAN LOW HIGH BAR
  local word=ok
  if awk -v m="$2" -v b="$5" 'BEGIN {exit !(m > b)}'; then word=MISSED status=1; fi
  printf '%-44s %8s  (%s-%s)  bar %-5s %s\n' "$1" "$2" "$3" "$4" "$5" "$word"
}

if [[ $instructions == yes ]]; then
  ir=()
  # Two runs that differ in the number of requests alone: what the start costs falls out.
  count_of() {  # NAME REQUESTS
    local pid=pid_$1
    start "$1" valgrind --tool=callgrind --callgrind-out-file="$work/callgrind.out"
    load "$1" "$2" >/dev/null
    stop "${!pid}"
    sed -n 's/^\(summary\|totals\): //p' "$work/callgrind.out" | tail -1
  }
  for name in 350 5 1 without with; do
    few=$(count_of $name 200) many=$(count_of $name 1200)
    ir[${#ir[@]}]=$(((many - few) / 1000))
    printf 'instructions of weir per request, %-8s %9d\n' "$name" "${ir[-1]}"
  done
  echo "50 live experiments add $((ir[4] - ir[3])) instructions to a proxied request"
  exit 0
fi

for name in 350 5 1 with without; do start $name; done
echo "CPU us of weir per request; 64 keep-alive connections, $requests requests a run, $rounds rounds"
for ((round = 1; round <= rounds; round++)); do
  for name in 350 5 1 without with first; do
    pid=pid_${name/first/with}
    count=$requests; [[ $name == 350 ]] && count=$((requests / 4))
    line=$(load $name "$count" --warmup $((count / 10 + 64)) --watch-pid "${!pid}") ||
      { echo "$name failed requests: $line" >&2; tail -5 "$work/$name.out" >&2; exit 1; }
    field cpu_us_per_request <<<"$line" >>"$work/cpu_$name"
    field bytes_per_answer <<<"$line" >"$work/bytes_$name"
  done
done
paste "$work/cpu_first" "$work/cpu_without" | awk '{print $1 - $2}' >"$work/cpu_met"
paste "$work/cpu_with" "$work/cpu_without" | awk '{print $1 - $2}' >"$work/cpu_added"
verdict "bulk, 350 flags, answer $(<"$work/bytes_350") bytes" $(spread <"$work/cpu_350") 70
verdict "bulk, 5 flags, answer $(<"$work/bytes_5") bytes" $(spread <"$work/cpu_5") 12
verdict "one flag, answer $(<"$work/bytes_1") bytes" $(spread <"$work/cpu_1") 12
printf '%-44s %8s  (%s-%s)\n' "proxied without experiments" $(spread <"$work/cpu_without")
verdict "50 live experiments add" $(spread <"$work/cpu_added") 2
printf '%-44s %8s  (%s-%s)\n' "the same, users met for the first time" $(spread <"$work/cpu_met")
exit $status
