#!/usr/bin/env bash
# A million requests a minute from ten thousand clients, each limited exactly; and the cost of an idle one.
#
#   bench/capacity.sh [--seconds 60] [--rate 16700] [--connections 10000] [--record]
#
# Load: an open loop at --rate over --connections keep-alive connections, a key each (X-Client). The limit is
# 10 in any 10 s, so some are admitted and some refused all the time, and the load generator judges every
# answer against the window (bench/proxy/measure.h). Wanted: 0 errors, nothing missing, no key over its limit,
# none refused wrongly. --slack-us (default 20000) is how far the gateway's time of decision may lie outside
# of the moment between question and answer: it reads its clock once a turn of its event loop.
#
# Memory: a fresh gateway answers one request on each of --connections connections, which then stay open.
# Wanted: at most 1024 bytes of private memory (smaps_rollup) for each, and each still answers afterwards.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
seconds=60 rate=16700 connections=10000 slack=20000 record=no bar_bytes=1024
usage() { sed -n '2,4p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --rate) rate=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --slack-us) slack=$2; shift 2 ;;
    --record) record=yes; shift ;;
    *) usage ;;
  esac
done
# shellcheck source=bench/lib.sh
source "$root/bench/lib.sh"
need bench_origin bench_load weir
ulimit -n "$(ulimit -Hn)"
if (($(ulimit -n) < 2 * connections)); then
  echo "the descriptor limit $(ulimit -n) does not allow $connections connections on both sides" >&2
  exit 2
fi

mapfile -t ports < <("$bin/bench_load" --free-ports 3)
sed -e "s/127\.0\.0\.1:18080/127.0.0.1:${ports[0]}/; s/127\.0\.0\.1:18081/127.0.0.1:${ports[1]}/" \
  -e "s/127\.0\.0\.1:18082/127.0.0.1:${ports[2]}/" "$root/bench/proxy/capacity.yaml" >"$work/weir.yaml"
gateway=127.0.0.1:${ports[1]}

start() {  # NAME PORT COMMAND...: sets $started
  local name=$1 port=$2; shift 2
  "$@" >/dev/null 2>"$work/$name.err" &
  started=$!
  pids+=("$started")
  await "$name" "$started" "$port" "$work/$name.err"
}
private_bytes() { awk '/^Private_Dirty:/ {print $2 * 1024}' "/proc/$1/smaps_rollup"; }
status=0

start origin "${ports[0]}" "$bin/bench_origin" "127.0.0.1:${ports[0]}"

start weir "${ports[1]}" "$bin/weir" run "$work/weir.yaml"
weir=$started
echo "memory: $connections idle keep-alive connections"
"$bin/bench_load" "$gateway" --path /unlimited --connections 64 --requests 20000 >/dev/null
before=$(private_bytes "$weir")
mkfifo "$work/hold"
"$bin/bench_load" "$gateway" --path /unlimited --connections "$connections" --idle <"$work/hold" >"$work/idle" &
holder=$!
exec 4>"$work/hold"
until grep -q '^idle=' "$work/idle"; do
  kill -0 "$holder" 2>/dev/null || { echo "the load generator gave up" >&2; exit 1; }
  sleep 0.05
done
after=$(private_bytes "$weir")
exec 4>&-
wait "$holder" || { echo "idle connections did not answer again: $(tail -1 "$work/idle")"; status=1; }
each=$(((after - before) / connections))
echo "  private memory $((before / 1024)) KiB before, $((after / 1024)) KiB with all: $each bytes a connection (bar $bar_bytes)"
((each <= bar_bytes)) || { echo "  MISSED"; status=1; }
kill "$weir"
wait "$weir" || { echo "weir did not end in good order" >&2; status=1; }

start weir "${ports[1]}" "$bin/weir" run "$work/weir.yaml"
weir=$started
echo "load: $rate requests a second for $seconds s over $connections connections, 10 in 10 s for each"
line=$("$bin/bench_load" "$gateway" --connections "$connections" --rate "$rate" --seconds "$seconds" --client-header \
  --limit 10 --window-ms 10000 --slack-us "$slack" --watch-pid "$weir") || { echo "  MISSED"; status=1; }
tr ' ' '\n' <<<"$line" | sed 's/^/  /'

if [[ $record == yes ]]; then
  mkdir -p "$root/bench/results"
  file=$root/bench/results/capacity-$(date -u +%Y-%m-%d).csv
  names="requests ok limited errors missing over_admitted wrongly_refused worst_early_us worst_late_us p50_us p99_us max_us cpu_us_per_request"
  [[ -s $file ]] || echo "commit,cores,rate,seconds,connections,bytes_per_idle_connection,${names// /,}" >"$file"
  row=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown),$(nproc),$rate,$seconds,$connections,$each
  for name in $names; do row+=,$(field "$name" <<<"$line"); done
  echo "$row" >>"$file"
  echo "recorded in ${file#"$root"/}"
fi
exit $status
