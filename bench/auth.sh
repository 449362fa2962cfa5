#!/usr/bin/env bash
# What a verified caller costs, and what a flood of bad tokens does to good ones.
#
#   bench/auth.sh [--rounds 5] [--requests 100000] [--connections 64] [--flood-seconds 10] [--only LIST] [--no-parts]
#
# First weir without auth, weir with RS256 tokens of which 95 % were seen before, HAProxy plain and HAProxy with
# jwt_verify, in turn, each on core 0, with load generator and origin on core 1 (bench/README.md says why). Figures are CPU
# time per request; ratios are formed inside a round. Then good clients at a fixed rate, alone and beside a flood of
# tokens that nobody signed: their p99 both times, and what the flood cost.
#
# Exit 0 when weir with auth costs at most 1.25x of weir without it; the flood's figure is for information, since load
# generators share a core with it. WEIR_BIN names the folder of the programs (build/release/bin).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
parts=yes rounds=5 requests=100000 connections=64 flood_seconds=10 only="plain auth haproxy haproxy_jwt"
bar=1.25 known=1000

usage() { sed -n '2,5p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --no-parts) parts=no; shift ;;
    --rounds) rounds=$2; shift 2 ;;
    --requests) requests=$2; shift 2 ;;
    --connections) connections=$2; shift 2 ;;
    --flood-seconds) flood_seconds=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) usage ;;
  esac
done
# shellcheck source=bench/lib.sh
source "$root/bench/lib.sh"
need bench_load bench_tokens weir

# The parts by themselves: a cached token with both headers, the signature step beside OpenSSL's own, durable keys.
[[ $parts == no ]] || for each in passport_bench:'BM_CachedToken|BM_ColdToken|BM_Signature' store_bench:BM_DurableKeys; do
  [[ -x $bin/${each%%:*} ]] && "$bin/${each%%:*}" --benchmark_filter="${each#*:}" --benchmark_min_time=0.2
done

start() {  # NAME PORT COMMAND...
  local name=$1 port=$2; shift 2
  (cd "$work" && exec taskset -c 0 "$@") >"$work/$name.out" 2>&1 &
  local pid=$!
  pids+=("$pid")
  await "$name" "$pid" "$port" "$work/$name.out"
  printf -v "pid_$name" '%s' "$pid"
}

mapfile -t ports < <("$bin/bench_load" --free-ports 5)
origin_port=${ports[0]}
declare -A port=([plain]=${ports[1]} [auth]=${ports[2]} [haproxy]=${ports[3]} [haproxy_jwt]=${ports[4]})
fresh=$((rounds * requests / 20 + requests / 20 + 1000))
echo "signing $((known + fresh)) tokens"
"$bin/bench_tokens" $((known + fresh)) "$work/jwks.json" "$work/key.pem" >"$work/tokens.txt"

weir_config() {  # PORT AUTH
  cat <<END
listen: 127.0.0.1:$1
workers: 1
access_log: access-$1.log
limits: {connections_per_address: off}
auth: {providers: [{name: main, issuer: https://id.example, audiences: [api], algorithms: [RS256], jwks: {file: jwks.json}}]}
upstreams: {origin: {endpoints: [http://127.0.0.1:$origin_port]}}
rate_limits: {per_client: {key: client_ip, limit: 100000000, window: 1m}}
routes: [{path: /*, rate_limit: [per_client], auth: $2, upstream: origin}]
END
}
haproxy_config() {  # PORT CHECK
  cat <<END
global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout client 1h
  timeout server 1h
  timeout connect 5s
  timeout http-keep-alive 1h
  http-reuse always
frontend front
  bind 127.0.0.1:$1
END
  [[ $2 == yes ]] && cat <<END
  http-request set-var(txn.token) http_auth_bearer
  http-request deny deny_status 401 unless { var(txn.token),jwt_header_query('\$.alg') -m str RS256 }
  http-request deny deny_status 401 unless { var(txn.token),jwt_verify("RS256","$work/key.pem") -m int 1 }
END
  cat <<END
  default_backend origin
backend origin
  server origin 127.0.0.1:$origin_port
END
}
for proxy in $only; do
  case $proxy in
    plain) weir_config "${port[plain]}" off >"$work/plain.yaml"; start plain "${port[plain]}" "$bin/weir" run "$work/plain.yaml" ;;
    auth) weir_config "${port[auth]}" required >"$work/auth.yaml"; start auth "${port[auth]}" "$bin/weir" run "$work/auth.yaml" ;;
    haproxy) haproxy_config "${port[haproxy]}" no >"$work/plain.cfg"
      start haproxy "${port[haproxy]}" "$(command -v haproxy || echo /usr/sbin/haproxy)" -db -f "$work/plain.cfg" ;;
    haproxy_jwt) haproxy_config "${port[haproxy_jwt]}" yes >"$work/jwt.cfg"
      start haproxy_jwt "${port[haproxy_jwt]}" "$(command -v haproxy || echo /usr/sbin/haproxy)" -db -f "$work/jwt.cfg" ;;
    *) echo "unknown proxy $proxy" >&2; exit 2 ;;
  esac
done

echo "CPU us per request; $connections connections, RS256 tokens of 2048 bits, 5 % of them never seen before"
printf '%-8s' round; printf '%13s' $only; echo
samples=$work/samples
for ((round = 1; round <= rounds; round++)); do
  printf '%-8s' "$round"
  # Tokens that were seen in an earlier round are not fresh any more.
  { head -n "$known" "$work/tokens.txt"; tail -n +$((known + 1 + (round - 1) * requests / 20)) "$work/tokens.txt"; } >"$work/round.txt"
  for proxy in $only; do
    pid=pid_$proxy
    line=$(taskset -c 1 "$bin/bench_load" "127.0.0.1:${port[$proxy]}" --origin "127.0.0.1:$origin_port" --connections "$connections" \
      --requests "$requests" --warmup $((known + connections)) --tokens "$work/round.txt" --known "$known" --fresh 20 \
      --watch-pid "${!pid}") || { echo; echo "$proxy failed requests: $line" >&2; tail -5 "$work/$proxy.out" >&2; exit 1; }
    cpu=$(field cpu_us_per_request <<<"$line")
    echo "$round $proxy $cpu" >>"$samples"
    printf '%13s' "$cpu"
  done
  echo
done
spread() { sort -g | awk '{v[NR] = $1} END {m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; printf "%.2f %.2f %.2f", m, v[1], v[NR]}'; }
ratio() {  # A B
  paste -d' ' <(awk -v p="$1" '$2 == p {print $3}' "$samples") <(awk -v p="$2" '$2 == p {print $3}' "$samples") | awk '{print $1 / $2}' | spread
}
status=0
echo
if [[ " $only " == *" plain "* && " $only " == *" auth "* ]]; then
  read -r median low high < <(ratio auth plain; echo)
  verdict=ok
  if awk -v r="$median" -v b="$bar" 'BEGIN {exit !(r > b)}'; then verdict=MISSED status=1; fi
  printf 'weir with auth / without           %s (%s-%s)  bar %s %s\n' "$median" "$low" "$high" "$bar" "$verdict"
fi
if [[ " $only " == *" haproxy_jwt "* ]]; then
  read -r median low high < <(ratio haproxy_jwt haproxy; echo)
  printf 'haproxy with jwt_verify / without  %s (%s-%s)\n' "$median" "$low" "$high"
  read -r median low high < <(ratio auth haproxy_jwt; echo)
  printf 'weir with auth / haproxy with jwt  %s (%s-%s)\n' "$median" "$low" "$high"
fi

[[ " $only " == *" auth "* && $flood_seconds -gt 0 ]] || exit $status
head -n "$known" "$work/tokens.txt" >"$work/good.txt"
# Each ends otherwise: a signature of zeros, of the right length.
sed 's/\.[^.]*$//' "$work/tokens.txt" | awk '{s = sprintf("%342s", ""); gsub(/ /, "A", s); print $0 "." s}' >"$work/bad.txt"
good() {
  taskset -c 1 "$bin/bench_load" "127.0.0.1:${port[auth]}" --origin "127.0.0.1:$origin_port" --connections 32 --rate 1000 \
    --seconds "$flood_seconds" --tokens "$work/good.txt"
}
alone=$(good)
"$bin/bench_load" "127.0.0.1:${port[auth]}" --connections 64 --seconds $((flood_seconds + 1)) --tokens "$work/bad.txt" --any-status \
  --watch-pid "$pid_auth" >"$work/flood.out" &
flood=$!
flooded=$(good)
wait "$flood"
echo
echo "good clients, 1000 requests a second: alone p99 $(field p99_us <<<"$alone") us, beside the flood $(field p99_us <<<"$flooded") us"
echo "the flood: $(field rps <"$work/flood.out") bad tokens a second, core 0 busy $(field cpu_share <"$work/flood.out")"
exit $status
