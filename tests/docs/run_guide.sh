#!/usr/bin/env bash
# Does what a page of docs/ says and compares what comes out with what the page shows.
#
#   tests/docs/run_guide.sh BIN PAGE...        BIN: the folder of weir and demo_service
#
# In a page, two kinds of fenced blocks count, in their order:
#
#   ```yaml weir.yaml      the file weir.yaml, in a folder of the page's own
#   ```console             lines that begin with "$ " are typed there; what follows is what they print. "…" stands for
#                          anything within a line, a line of "…" alone for any lines. A command that ends with " &"
#                          runs on; the next one waits until it listens.
#
# The ports that pages name are replaced by free ones, there and back. Exit 0 when every page is true.
set -uo pipefail
bin=$(cd "$1" && pwd)
shift
export PATH=$bin:$PATH
work=$(mktemp -d)
pids=()
stop_all() {
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  wait 2>/dev/null
  pids=()
}
trap 'stop_all; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# --- ports: those of the page, and the free ones in their place ---
shown=(8080 9901 9001 9002 9003 9004)
there='' back=''
mapfile -t free < <(bench_load --free-ports "${#shown[@]}")
((${#free[@]} == ${#shown[@]})) || { echo "no free ports" >&2; exit 2; }
for i in "${!shown[@]}"; do
  there+="s/:${shown[i]}\\b/:${free[i]}/g;"
  back+="s/:${free[i]}\\b/:${shown[i]}/g;"
done

# One line of output against one line of the page.
matches() {  # LINE PATTERN
  local pattern
  pattern=$(sed 's/[][\.*^$+?(){}|/]/\\&/g; s/…/.*/g' <<<"$2")
  grep -qE "^$pattern\$" <<<"$1"
}

# The files $1 (what came) and $2 (what the page shows), line by line.
same() {
  local -a got want
  mapfile -t got <"$1"
  mapfile -t want <"$2"
  local g=0 w skipping=no
  for ((w = 0; w < ${#want[@]}; w++)); do
    if [[ ${want[w]} == … ]]; then skipping=yes; continue; fi
    while :; do
      ((g < ${#got[@]})) || return 1
      if matches "${got[g++]}" "${want[w]}"; then break; fi
      [[ $skipping == yes ]] || return 1
    done
    skipping=no
  done
  [[ $skipping == yes ]] || ((g == ${#got[@]}))
}

wait_listening() {  # COMMAND: for the addresses that it names, or that the file which it is given names
  local text=$1 file port i
  for file in $1; do [[ -f $file && $file == *.yaml ]] && text+=" $(sed '/^upstreams:/,$d' "$file")"; done
  [[ $1 == *" proxy "* ]] && text=${1%% 127.*}
  for port in $(grep -oE '127\.0\.0\.1:[0-9]+|[ :]:[0-9]+' <<<"$text" | grep -oE '[0-9]+$' | sort -u); do
    for ((i = 0; i < 400; i++)); do
      (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue 2
      sleep 0.025
    done
    echo "nothing listens at $port" >&2
    return 1
  done
}

commands=0 failures=0
judge() {  # PAGE LINE COMMAND, with what the page shows in $work/want
  commands=$((commands + 1))
  if ! same "$work/got" "$work/want"; then
    failures=$((failures + 1))
    printf '%s:%s: $ %s\n--- the page shows\n' "$1" "$2" "$3" >&2
    sed 's/^/  /' "$work/want" >&2
    echo '--- what came' >&2
    sed 's/^/  /' "$work/got" >&2
  fi
}

run_command() {  # COMMAND
  local command
  command=$(sed "$there" <<<"$1")
  : >"$work/got"
  if [[ $command == *' &' ]]; then
    (cd "$work/page" && exec ${command% &}) >"$work/log" 2>&1 &
    pids+=($!)
    (cd "$work/page" && wait_listening "${command% &}") || sed 's/^/  /' "$work/log" >&2
  elif [[ $command == stop ]]; then
    stop_all
  else
    (cd "$work/page" && eval "$command") 2>&1 | tr -d '\r' | sed "$back" >"$work/got"
  fi
}

play() {  # PAGE
  local page=$1 line='' number=0 block='' command='' at=0
  rm -rf "$work/page" && mkdir "$work/page"
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    case $block in
      '')
        if [[ $line == '```yaml '* ]]; then
          block=file file=$work/page/${line#'```yaml '}
          : >"$file"
        elif [[ $line == '```console' ]]; then
          block=console
        fi
        continue ;;
      file)
        if [[ $line == '```' ]]; then block=''; else sed "$there" <<<"$line" >>"$file"; fi
        continue ;;
    esac
    if [[ $line == '$ '* || $line == '```' ]]; then
      [[ -n $command ]] && judge "$page" "$at" "$command"
      command=''
      [[ $line == '```' ]] && { block=''; continue; }
      command=${line#'$ '} at=$number
      : >"$work/want"
      run_command "$command"
    else
      printf '%s\n' "$line" >>"$work/want"
    fi
  done <"$page"
  stop_all
}

for page in "$@"; do play "$page"; done
echo "$commands commands of $# pages, $failures not as shown"
((failures == 0 && commands > 0))
