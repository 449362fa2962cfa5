#!/usr/bin/env bash
# weir between the servers and the clients that people run, all from Debian's packages, over real sockets.
#
#   tests/interop/run.sh BIN_FOLDER
#
# Origins: nginx, Apache, lighttpd, python3 http.server, gunicorn, php -S, Node. Clients: curl, wget, ab,
# python3-requests, Node's fetch. Then chains: nginx, HAProxy and Caddy in front of weir and behind it. Every body must
# be byte-equal to the file that is served, and weir's log must not hold one answer that weir gave in an origin's place.
# Prints a line a case and closes with "N passed, N failed". Exit 77 when a package is missing (./dev setup --interop).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
bin=$(cd "$1" && pwd)
PATH=$PATH:/usr/sbin

for program in nginx apache2 lighttpd /usr/bin/python3 gunicorn php node curl wget ab haproxy caddy promtool openssl; do
  command -v "$program" >/dev/null || { echo "skipped: no $program here; ./dev setup --interop installs it"; exit 77; }
done

work=$(mktemp -d)
pids=()
finish() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  wait 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

passed=0 failed=0
check() {  # NAME COMMAND...
  local name=$1 out; shift
  if out=$("$@" 2>&1); then
    passed=$((passed + 1)); echo "ok      $name"
  else
    failed=$((failed + 1)); echo "FAILED  $name: ${out:0:400}"
  fi
}

# --- what is served --------------------------------------------------------------------------------------------------

root=$work/root
mkdir -p "$root/cgi-bin"
printf 'hello through the gate\n' >"$root/small.txt"
: >"$root/empty.txt"
openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 -in /dev/zero 2>/dev/null | head -c 104857600 >"$root/big.bin"
head -c 3000000 "$root/big.bin" >"$root/middle.bin"
sum_of() { sha256sum "$1" | cut -d' ' -f1; }
big_sum=$(sum_of "$root/big.bin") middle_sum=$(sum_of "$root/middle.bin")
cp "$here/cgi/echo.cgi" "$here/cgi/events.cgi" "$root/cgi-bin/"
chmod 755 "$root" "$work" "$root/cgi-bin" "$root"/cgi-bin/*.cgi
export INTEROP_ROOT=$root

# --- origins ---------------------------------------------------------------------------------------------------------

mapfile -t ports < <("$bin/bench_load" --free-ports 20)
declare -A port=()
names=(nginx apache lighttpd python gunicorn php node weir weir_chain front_nginx front_haproxy front_caddy
       back_haproxy back_caddy admin)
for i in "${!names[@]}"; do port[${names[i]}]=${ports[i]}; done

await() {  # NAME: until its port answers
  local i
  for ((i = 0; i < 400; i++)); do
    (exec 3<>"/dev/tcp/127.0.0.1/${port[$1]}") 2>/dev/null && return
    kill -0 "${pids[-1]}" 2>/dev/null || break
    sleep 0.05
  done
  echo "$1 did not start:" >&2; tail -20 "$work/$1.out" >&2; exit 1
}
start() {  # NAME COMMAND...
  local name=$1; shift
  (cd "$work" && exec "$@") >"$work/$name.out" 2>&1 &
  pids+=($!)
  await "$name"
}
place() {  # FILE: with the folders and ports of this run
  local text; text=$(<"$here/conf/$1")
  text=${text//@WORK@/$work}; text=${text//@ROOT@/$root}
  local name
  for name in "${names[@]}"; do text=${text//@${name^^}@/${port[$name]}}; done
  printf '%s\n' "$text" >"$work/$1"
}
for file in "$here"/conf/*; do place "$(basename "$file")"; done

start nginx nginx -p "$work" -c "$work/nginx.conf" -e stderr
start apache apache2 -d "$work" -f "$work/apache.conf" -DFOREGROUND
start lighttpd lighttpd -D -f "$work/lighttpd.conf"
start python /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$root" "${port[python]}"
start gunicorn gunicorn --chdir "$here/apps" --bind "127.0.0.1:${port[gunicorn]}" --workers 2 --worker-class gthread --threads 4 \
  --keep-alive 1 app:app
PHP_CLI_SERVER_WORKERS=4 start php php -d post_max_size=0 -d enable_post_data_reading=0 -d memory_limit=-1 \
  -S "127.0.0.1:${port[php]}" "$here/apps/router.php"
start node node "$here/apps/server.mjs" "${port[node]}"
start weir "$bin/weir" run "$work/weir.yaml"

# --- one origin, one client ------------------------------------------------------------------------------------------

gate=http://127.0.0.1:${port[weir]}
same() { [[ $(sha256sum | cut -d' ' -f1) == "$1" ]]; }
static=(nginx apache lighttpd python gunicorn php node)
dynamic=(apache lighttpd gunicorn php node)
echo_path() { case $1 in apache | lighttpd) echo "$1/cgi-bin/echo.cgi" ;; *) echo "$1/echo" ;; esac; }
events_path() { case $1 in apache | lighttpd) echo "$1/cgi-bin/events.cgi" ;; *) echo "$1/events" ;; esac; }

curl_get() { curl -sS --fail "$gate/$1/$2" "${@:4}" | same "$3"; }
curl_text() { [[ $(curl -sS --fail "${@:2}" "$gate/$1/small.txt") == 'hello through the gate' ]]; }
curl_head() {  # length said, nothing sent
  local head; head=$(curl -sS --fail -I "$gate/$1/small.txt") || return 1
  case $1 in php | gunicorn | node) grep -qi '^HTTP/1.1 200' <<<"$head" ;; *) grep -qi '^content-length: 23' <<<"$head" ;; esac
}
curl_304() {
  local modified; modified=$(curl -sSI "$gate/$1/small.txt" | tr -d '\r' | sed -n 's/^[Ll]ast-[Mm]odified: //p')
  [[ -n $modified ]] || { echo "no Last-Modified"; return 1; }
  [[ $(curl -sS -o "$work/body" -w '%{http_code}' -H "If-Modified-Since: $modified" "$gate/$1/small.txt") == 304 && ! -s $work/body ]]
}
curl_post() {  # ORIGIN FILE SUM OPTIONS...: the origin's own sum of what arrived
  local got; got=$(curl -sS --fail --data-binary "@$root/$2" -H 'Content-Type: application/octet-stream' "${@:4}" "$gate/$(echo_path "$1")") || return 1
  [[ $got == "$3" ]] || { echo "the origin got $got"; return 1; }
}
curl_events() { [[ $(curl -sSN --fail "$gate/$(events_path "$1")" | grep -c '^data: [123]$') == 3 ]]; }
# After the origin has closed its idle connection, which weir's metric shows, the next request must just work.
reuse() {
  local i idle
  curl -sS --fail -o /dev/null "$gate/$1/small.txt" || return 1
  for ((i = 0; i < 200; i++)); do
    idle=$(curl -sS "http://127.0.0.1:${port[admin]}/metrics" | sed -n "s/^weir_upstream_connections{upstream=\"$1\",state=\"idle\"} //p")
    [[ ${idle:-0} == 0 ]] && break
    sleep 0.05
  done
  [[ ${idle:-0} == 0 ]] || { echo "still $idle idle connections"; return 1; }
  curl_text "$1"
}
wget_get() { wget -q -O - "$gate/$1/$2" | same "$3"; }
wget_post() { [[ $(wget -q -O - --post-file="$root/middle.bin" --header 'Content-Type: application/octet-stream' "$gate/$(echo_path "$1")") == "$middle_sum" ]]; }
ab_run() {
  local out at_once=8
  [[ $1 == python ]] && at_once=3   # its listen queue is of five, and who finds it full waits a second
  out=$(ab -q -n 200 -c "$at_once" "${@:2}" "$gate/$1/small.txt") || { echo "$out"; return 1; }
  grep -q '^Complete requests: *200$' <<<"$out" && grep -q '^Failed requests: *0$' <<<"$out" && ! grep -q '^Non-2xx' <<<"$out" ||
    { echo "$out"; return 1; }
}

for origin in "${static[@]}"; do
  check "$origin, curl: GET" curl_text "$origin"
  check "$origin, curl: GET of nothing" curl_get "$origin" empty.txt "$(sum_of "$root/empty.txt")"
  check "$origin, curl: HTTP/1.0" curl_text "$origin" -0
  check "$origin, curl: HEAD" curl_head "$origin"
  check "$origin, curl: 100 MB down" curl_get "$origin" big.bin "$big_sum"
  check "$origin, wget: GET of 3 MB" wget_get "$origin" middle.bin "$middle_sum"
  check "$origin, ab: 200 requests" ab_run "$origin"
  check "$origin, ab: 200 requests, keep-alive" ab_run "$origin" -k
done
for origin in nginx apache lighttpd python; do check "$origin, curl: 304" curl_304 "$origin"; done
for origin in nginx apache lighttpd gunicorn node; do check "$origin: reuse after the origin's idle close" reuse "$origin"; done
for origin in "${dynamic[@]}"; do
  check "$origin, curl: POST" curl_post "$origin" middle.bin "$middle_sum" -H 'Expect:'
  check "$origin, curl: POST, Expect" curl_post "$origin" middle.bin "$middle_sum" -H 'Expect: 100-continue'
  # php -S and CGI want a length: weir reads what request_buffer holds and then says it.
  check "$origin, curl: chunked POST within the buffer" curl_post "$origin" small.txt "$(sum_of "$root/small.txt")" -H 'Transfer-Encoding: chunked'
  check "$origin, curl: 100 MB up" curl_post "$origin" big.bin "$big_sum"
  check "$origin, curl: event stream" curl_events "$origin"
  check "$origin, wget: POST" wget_post "$origin"
done
check "node, curl: an answer that ends with its connection" curl_get node until-close "$(printf 'ends with the connection\n' | sha256sum | cut -d' ' -f1)"
for origin in gunicorn node; do
  check "$origin, curl: chunked POST, streamed" curl_post "$origin" middle.bin "$middle_sum" -H 'Transfer-Encoding: chunked'
done
for origin in "${static[@]}"; do
  check "$origin, python3-requests" /usr/bin/python3 "$here/clients/client.py" "$gate/$origin" "$root" ''
  check "$origin, Node's fetch" node "$here/clients/client.mjs" "$gate/$origin" "$root" ''
done
for origin in gunicorn node; do
  check "$origin, python3-requests: bodies both ways" /usr/bin/python3 "$here/clients/client.py" "$gate/$origin" "$root" big
  check "$origin, Node's fetch: bodies both ways" node "$here/clients/client.mjs" "$gate/$origin" "$root" big
done

# --- chains ----------------------------------------------------------------------------------------------------------

start front_nginx nginx -p "$work" -c "$work/front_nginx.conf" -e stderr
start front_haproxy haproxy -db -f "$work/front_haproxy.cfg"
start front_caddy caddy run --adapter caddyfile --config "$work/front_caddy.conf"
start back_haproxy haproxy -db -f "$work/back_haproxy.cfg"
start back_caddy caddy run --adapter caddyfile --config "$work/back_caddy.conf"
for front in front_nginx front_haproxy front_caddy; do
  for back in node back_haproxy back_caddy; do
    gate=http://127.0.0.1:${port[$front]}
    check "$front, weir, $back: GET" curl_text "$back"
    check "$front, weir, $back: 100 MB down" curl_get "$back" big.bin "$big_sum"
    check "$front, weir, $back: 3 MB up" curl_post "$back" middle.bin "$middle_sum"
    check "$front, weir, $back: chunked up" curl_post "$back" middle.bin "$middle_sum" -H 'Transfer-Encoding: chunked'
    check "$front, weir, $back: event stream" curl_events "$back"
  done
done

# --- what weir says about all this -----------------------------------------------------------------------------------

promtool_takes_metrics() { curl -sS "http://127.0.0.1:${port[admin]}/metrics" | promtool check metrics; }
own_answers() {
  local lines; lines=$(grep -v '"reason":"-"' "$work/access.log")
  [[ -z $lines ]] || { echo "$lines"; return 1; }
}
check 'promtool takes the metrics' promtool_takes_metrics
check 'no answer of weir in the place of an origin' own_answers
echo "$passed passed, $failed failed"
((failed == 0))
