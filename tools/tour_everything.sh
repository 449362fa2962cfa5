#!/usr/bin/env bash
# The second half of `./dev run --tour`: the five systems in one chain.
#
#   tools/tour_everything.sh GATE ADMIN [LOG]
#
# It needs a fresh weir with examples/everything/weir.yaml, a new folder for its records, and its four demo services.
# Exit 0 when every check held.
set -uo pipefail
gate=$1 admin=$2 log=${3:-}
# shellcheck source=tools/tour_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/tour_lib.sh"

ada=(-H 'X-Api-Key: demo-key-of-user-123')
bob=(-H 'X-Api-Key: demo-key-of-user-5')
decoded() {  # NAME: the base64 that a service says it has seen in the header
  sed '1,/^$/d' <<<"$answer" | sed -n "s/.*\"$1\": \"\([A-Za-z0-9+/=]*\)\".*/\1/p" | base64 -d 2>/dev/null
}

stop 'Passport: who asks is verified once; the service is told who it is, and nobody can forge that'
ask "$gate/orders/1"
check 'without a key: 401' is "$(status)" 401
check 'WWW-Authenticate says how' has '^www-authenticate: Bearer'
ask "${ada[@]}" -H 'X-Passport: forged' -H 'X_Passport: forged' "$gate/orders/1"
check 'with one: 200' is "$(status)" 200
printf '   X-Passport at the service:    %s\n   X-Proxy-State at the service: %s\n' "$(decoded x-passport)" "$(decoded x-proxy-state)"
check 'the passport begins with the user' grep -q '^{"user_id":"user_123"' <(decoded x-passport)
check 'the proxy state is active:user_123:US:web' is "$(decoded x-proxy-state)" 'active:user_123:US:web'
check 'what the client forged is gone' grep -qv forged <<<"$answer"

stop 'Experiments: fnv1a32("checkout_button" + user) % 100 decides, the variant chooses the service'
check 'user_123 is in treatment: orders_b answers' has '"service": "orders_b"'
check 'and is told so' has 'checkout_button=\\"treatment\\"'
ask "${bob[@]}" "$gate/orders/1"
check 'user_5 is in control: orders answers' has '"service": "orders"'
check 'a flag for Canada is on' has 'dark_mode'

stop 'Idempotency: the same key twice is executed once'
ask "${ada[@]}" -H 'Idempotency-Key: "order-1"' -d '{"item":1}' "$gate/orders"
first=$(sed '1,/^$/d' <<<"$answer")
check 'executed' is "$(status)" 200
check 'by the service that the variant chose' has '"service": "orders_b"'
ask "${ada[@]}" -H 'Idempotency-Key: "order-1"' -d '{"item":1}' "$gate/orders"
check 'the second time it is a replay' has '^idempotent-replayed: true'
check 'of the same bytes' is "$(sed '1,/^$/d' <<<"$answer")" "$first"
ask "${ada[@]}" -H 'Idempotency-Key: "order-1"' -d '{"item":2}' "$gate/orders"
check 'the key with another body: 422' is "$(status)" 422

stop 'Backend for frontend: one page of three services, called side by side inside 500 ms'
ask "${ada[@]}" "$gate/home"
check 'the page is complete' has '^weir-complete: \?1'
check 'all three sections are ok' has '^weir-sections: user;s=ok;d=[0-9]+, orders;s=ok;d=[0-9]+, recommendations;s=ok'
ask "${ada[@]}" "$gate/home?slow=400"
check 'a slow service costs its section, not the page' is "$(status)" 200
check 'which says so' has '^weir-complete: \?0'
check 'and shows null there' has '"recommendations": ?null'

stop 'Cache: an answer that its service calls fresh is given again, to callers of the same proxy state alone'
ask "${ada[@]}" "$gate/recs/1?fresh=60"
check 'the first is fetched and kept' has '^cache-status: weir; fwd=uri-miss; stored'
ask "${ada[@]}" "$gate/recs/1?fresh=60"
check 'the second is a hit' has '^cache-status: weir; hit'
ask "${bob[@]}" "$gate/recs/1?fresh=60"
check 'another proxy state has an answer of its own' has '^cache-status: weir; fwd=uri-miss; stored'

stop 'The chain in front of all this: limits by address and by user, one shedder, a breaker for each service'
ask "${ada[@]}" "$gate/orders/2"
check 'both limits are told' has '^ratelimit: "per_user";r=[0-9]+;t=[0-9]+'
codes=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21; do
  curl -s -o /dev/null -w '%{http_code}\n' --interface 127.0.0.6 "${bob[@]}" "$gate/orders/$i"
done | sort | uniq -c | xargs)
printf '   | 21 requests of user_5 from another address: %s\n' "$codes"
check "a limit of a user follows the user to another address" grep -q " 429" <<<" $codes"

stop 'What weir saw'
printf '   %s$ curl %s/metrics | grep ^weir_%s\n' "$dim" "$admin" "$plain"
curl -s --max-time 5 "$admin/metrics" | grep '^weir_decisions_total.*\(refuse\|answer\)' | grep -v ' 0$' | sed 's/^/   | /'
ask "$admin/v1/exposures"
check 'each user was counted where the variant was applied' has 'checkout_button'
if [[ -n $log ]]; then
  printf '   the last lines of the access log:\n'
  grep '^{' "$log" | tail -3 | sed 's/^/   | /'
fi

end_tour
