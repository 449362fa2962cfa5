#!/usr/bin/env bash
# Is allow_at() O(1)? Instructions of one decision under callgrind, at limits 10, 100 and 1,000 and with 10^3 and 10^6 keys:
# within 10 % of each other. What headers need is a search, O(log limit), and stands apart. Instructions do not depend on how
# busy the machine is.
#
#   ./dev bench ratelimit-instructions
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
program=${WEIR_BIN:-build/release/bin}/ratelimit_instructions
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() {  # WHAT SIZE CALLS: instructions of the whole run
  valgrind --tool=callgrind --callgrind-out-file="$work/out" "$program" "$@" >/dev/null 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
  sed -n 's/^\(summary\|totals\): //p' "$work/out" | tail -1
}
per_call() {  # WHAT SIZE
  local few many
  few=$(count "$1" "$2" 10000) many=$(count "$1" "$2" 30000)
  echo $(((many - few + 10000) / 20000))
}

status=0
group() {  # NAME WHAT SIZE...
  local name=$1 what=$2 size value least='' most=''
  shift 2
  for size in "$@"; do
    value=$(per_call "$what" "$size")
    printf '%-28s %9s %6s instructions\n' "$name" "$size" "$value"
    [[ -n $least ]] && ((value >= least)) || least=$value
    [[ -n $most ]] && ((value <= most)) || most=$value
  done
  [[ $what == headers ]] && return
  if ((most * 100 > least * 110)); then
    echo "MISSED: $least to $most are not within 10 %"
    status=1
  fi
}
group 'one key, by its limit' one 10 100 1000
group 'many keys, by their number' keys 1000 1000000
group 'with header fields, by limit' headers 10 100 1000
exit "$status"
