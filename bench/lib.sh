# What the scripts of this folder share: a folder and processes that end with the script, and waiting for a port.
# Sourced, not run. Whoever sources it has set `bin`, the folder of the programs.

# Exit 2 unless every program is built.
need() {  # PROGRAM...
  local program
  for program in "$@"; do
    [[ -x $bin/$program ]] || { echo "no $bin/$program: build it first (./dev build)" >&2; exit 2; }
  done
}

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The value of NAME= in the line of bench_load on stdin.
field() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p"; }

# Waits until PORT answers; a process that has ended or stays silent is shown by what it wrote, exit 2.
await() {  # NAME PID PORT OUTPUT
  local i
  for ((i = 0; i < 500; i++)); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$3") 2>/dev/null; then return; fi
    kill -0 "$2" 2>/dev/null || break
    sleep 0.02
  done
  echo "$1 did not start:" >&2
  cat "$4" >&2
  exit 2
}
