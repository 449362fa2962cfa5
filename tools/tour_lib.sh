# What the tours share: requests that are shown with their answers, and checks that are counted. Sourced, not run.
# Whoever sources it has set `gate` and `admin`.
failed=() checks=0
if [[ -t 1 ]]; then bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' red='' green='' dim='' plain=''; fi

stop_number=0
stop() { stop_number=$((stop_number + 1)); printf '\n%s%d. %s%s\n' "$bold" "$stop_number" "$1" "$plain"; }

# Sends one request, shows the command and the whole answer, keeps it in $answer.
ask() {
  printf '   %s$ curl -i %s%s\n' "$dim" "$*" "$plain"
  answer=$(curl -s -i --max-time 10 "$@" | tr -d '\r')
  [[ -n $answer ]] || answer='(no answer)'
  sed 's/^/   | /' <<<"$answer"
}
status() { sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$answer"; }
field() { sed '/^$/q' <<<"$answer" | grep -i "^$1:" | head -1 | cut -d: -f2- | sed 's/^ *//'; }
has() { grep -qiE "$1" <<<"$answer"; }

check() {  # WHAT COMMAND...
  local what=$1
  shift
  checks=$((checks + 1))
  if "$@" >/dev/null 2>&1; then
    printf '   %sok%s  %s\n' "$green" "$plain" "$what"
  else
    printf '   %sNOT OK%s  %s\n' "$red" "$plain" "$what"
    failed+=("$stop_number: $what")
  fi
}
is() { [[ $1 == "$2" ]]; }
within() { [[ $1 =~ ^[0-9]+$ ]] && (($1 >= $2 && $1 <= $3)); }  # VALUE LOW HIGH

metric() {  # NAME [LABEL]: the sum of its series
  curl -s --max-time 5 "$admin/metrics" | grep "^$1[{ ]" | grep -F "${2:-}" | awk '{sum += $NF} END {print sum + 0}'
}
until_metric() {  # NAME VALUE
  local i
  for ((i = 0; i < 200; i++)); do
    [[ $(metric "$1") == "$2" ]] && return 0
    sleep 0.05
  done
  return 1
}

# Says how it went; exit 0 when every check held.
end_tour() {
  echo
  if ((${#failed[@]})); then
    printf '%s%d of %d checks did not hold:%s\n' "$red" "${#failed[@]}" "$checks" "$plain"
    printf '  %s\n' "${failed[@]}"
    exit 1
  fi
  printf '%sall %d checks held%s\n' "$green" "$checks" "$plain"
}
