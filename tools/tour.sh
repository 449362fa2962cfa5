#!/usr/bin/env bash
# The tour of `./dev run --tour`: sends the requests that show what weir does, prints what comes back, checks it.
#
#   tools/tour.sh GATE ADMIN [LOG]      http://127.0.0.1:8080 http://127.0.0.1:9901
#
# It needs a fresh weir with examples/quickstart/weir.yaml and its three demo services. Each stop comes from a loopback
# address of its own, so that what one uses up of the limit does not change the next. Exit 0 when every check held.
set -uo pipefail
gate=$1 admin=$2 log=${3:-}
# shellcheck source=tools/tour_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/tour_lib.sh"

stop 'Three services behind one gate'
for target in users/42 orders/7 recs/today; do
  ask "$gate/$target"
  check "/$target is answered by its service" is "$(status)" 200
  check 'the answer has an id' has '^x-request-id: .+'
  check 'and says what is left of the limit' has '^ratelimit: "per_client";r=[0-9]+;t=[0-9]+'
done
check 'the service saw the same id' grep -q "$(field x-request-id)" <(sed '1,/^$/d' <<<"$answer")

stop 'What is not there is an answer of weir itself, in application/problem+json'
ask "$gate/nowhere"
check '404' is "$(status)" 404
check 'as problem+json' has '^content-type: application/problem\+json'
check 'with its type' has 'urn:weir:problem:no-route'

stop 'The load shedder: 50 slow requests are in flight, so the 51st is refused at once'
printf '   %s$ curl -Z --parallel-max 50 --interface 127.0.0.2 "%s/recs/slow?sleep=4000&n=[1-50]" &%s\n' "$dim" "$gate" "$plain"
slow=$(mktemp)
curl -s -Z --parallel-max 50 --parallel-immediate --max-time 20 --interface 127.0.0.2 -o /dev/null -w '%{http_code}\n' \
  "$gate/recs/slow?sleep=4000&n=[1-50]" >"$slow" 2>/dev/null &
background=$!
check 'weir counts 50 in flight' until_metric weir_in_flight 50
ask --interface 127.0.0.2 "$gate/recs/one-more"
check 'the 51st: 503' is "$(status)" 503
check 'load-shed, with Retry-After' has '^retry-after: [0-9]+'
check 'its type' has 'urn:weir:problem:load-shed'
wait "$background"
check 'the 50 were all served' is "$(grep -c '^200$' "$slow")" 50
check 'and their places are free again' until_metric weir_in_flight 0
rm -f "$slow"

stop 'The circuit breaker: five failures in a row open it, and the service is left in peace for 30 seconds'
codes=''
for i in 1 2 3 4 5; do
  codes+="$(curl -s -o /dev/null -w '%{http_code} ' --max-time 10 --interface 127.0.0.3 "$gate/orders/$i?status=500")"
done
printf '   %s$ curl --interface 127.0.0.3 "%s/orders/[1-5]?status=500"%s\n   | %s\n' "$dim" "$gate" "$plain" "$codes"
check 'the five failures pass through' is "$codes" '500 500 500 500 500 '
ask --interface 127.0.0.3 "$gate/orders/6"
check 'the next is refused: 503' is "$(status)" 503
check 'circuit-open' has 'urn:weir:problem:circuit-open'
check 'Retry-After: until the probe, at most 30 s' within "$(field retry-after)" 1 30
check 'the metric says open' is "$(metric weir_circuit_breaker_state 'upstream="orders"')" 1
ask --interface 127.0.0.3 "$gate/users/1"
check 'the other services are not touched' is "$(status)" 200

stop 'The rate limiter: 100 requests in a minute from one address, the 101st waits'
counts=$(curl -s -o /dev/null -w '%{http_code}\n' --max-time 30 --interface 127.0.0.4 "$gate/users/[1-100]" | sort | uniq -c | xargs)
printf '   %s$ curl --interface 127.0.0.4 "%s/users/[1-100]"%s\n   | %s\n' "$dim" "$gate" "$plain" "${counts/ / x }"
check 'the 100 are served' is "$counts" '100 200'
ask --interface 127.0.0.4 "$gate/users/101"
check 'the 101st: 429' is "$(status)" 429
check 'rate-limited' has 'urn:weir:problem:rate-limited'
check 'Retry-After: at most the minute' within "$(field retry-after)" 1 60
check 'nothing left' has '^ratelimit: "per_client";r=0;t=[0-9]+'
ask --interface 127.0.0.5 "$gate/users/1"
check 'another address has its own limit' is "$(status)" 200

stop 'What weir saw'
printf '   %s$ curl %s/metrics | grep ^weir_%s\n' "$dim" "$admin" "$plain"
curl -s --max-time 5 "$admin/metrics" | grep '^weir_decisions_total.*refuse\|^weir_in_flight\|^weir_circuit' | sed 's/^/   | /'
check 'one refusal of the limiter' is "$(metric weir_decisions_total 'reason="rate-limited"')" 1
check 'one of the shedder' is "$(metric weir_decisions_total 'reason="load-shed"')" 1
check 'one of the breaker' is "$(metric weir_decisions_total 'reason="circuit-open"')" 1
if [[ -n $log ]]; then
  printf '   the last lines of the access log:\n'
  grep '^{' "$log" | tail -3 | sed 's/^/   | /'
fi

end_tour
