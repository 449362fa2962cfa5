#!/usr/bin/env bash
# Today's figures against the last recorded ones, each with the noise of five rounds.
#
#   ./dev bench compare [--rounds 5] [--only 'ratelimit|http|proxy'] [--record]
#
# Measured: one benchmark for each figure that a README states (the list below), and the proxied request of bench/proxy.sh as
# its ratio to a bare loop in the same round. Every figure is CPU time, `median (lowest-highest)` of the rounds. A difference
# counts only where the two ranges do not meet. Other machines' figures are shown and not judged.
#
# --record writes bench/results/figures-DATE.csv: machine, commit and command in its first lines, then
# name,unit,median,lowest,highest,rounds. Nothing is written without it. Exit 1 when something is slower for certain, by more
# than a tenth, on the machine of the last record. WEIR_BIN names the folder of the programs (build/release/bin).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${WEIR_BIN:-$root/build/release/bin}
rounds=5 only=. record=no
command="./dev bench compare $*"

usage() { sed -n '2,4p' "${BASH_SOURCE[0]}" | cut -c3- >&2; exit 2; }
while (($#)); do
  case $1 in
    --rounds) rounds=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    --record) record=yes; shift ;;
    *) usage ;;
  esac
done

# PART and the benchmarks of it whose figures are stated somewhere.
figures=(
  'ratelimit BM_AllowOneKey/exact|BM_RefuseOneKey/exact|BM_AllowKeyed/exact/10000|BM_AllowKeyed/segmented/10000|BM_RefuseKeyed/10000'
  'resilience BM_BreakerAdmitSettle/real_time/threads:1|BM_BreakerRefuse/real_time/threads:1|BM_ShedderPair/real_time/threads:1'
  'http BM_ParseTenHeaders|BM_ParseResponse|BM_WriteHead|BM_CanonicalPath'
  'passport BM_CachedToken/1000|BM_ColdToken/RS256|BM_SignatureOurs|BM_SignatureOpenSsl'
  'experiment BM_OneFlagThreeConditionsSplit|BM_350Flags'
  'bff BM_Plan/3'
  'config BM_Load/1000'
  'metrics BM_Add|BM_Observe'
  'io BM_EchoBare|BM_EchoStream'
)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
samples=$work/samples  # name unit value

for figure in "${figures[@]}"; do
  part=${figure%% *}
  grep -Eq "$only" <<<"$part" || continue
  [[ -x $bin/${part}_bench ]] || { echo "no $bin/${part}_bench: build it first (./dev build)" >&2; exit 2; }
  echo "measuring $part" >&2
  "$bin/${part}_bench" --benchmark_filter="^(${figure#* })\$" --benchmark_repetitions="$rounds" --benchmark_min_time=0.2 \
    --benchmark_format=csv >"$work/csv" 2>"$work/said" ||
    { echo "${part}_bench ended badly:" >&2; tail -3 "$work/said" >&2; exit 2; }
  awk -F, -v part="$part" '/^"BM_/ {
    name = $1; gsub(/"/, "", name); gsub(/\/repeats:[0-9]+|\/real_time/, "", name)
    if (name ~ /_(mean|median|stddev|cv|BigO|RMS)$/) next
    print part "." name, $5, $4 }' "$work/csv" >>"$samples"
done
if grep -Eq "$only" <<<proxy; then
  echo "measuring proxy" >&2
  # Its own ratio in each round; absolute figures of a proxy mean nothing an hour later.
  WEIR_BIN=$bin "$root/bench/proxy.sh" --only "floor weir" --rounds "$rounds" --requests 100000 >"$work/proxy" ||
    [[ $? == 1 ]] || { cat "$work/proxy" >&2; exit 2; }
  awk '$1 ~ /^[0-9]+$/ && NF == 3 { print "proxy.weir/floor ratio", $3 / $2 }' "$work/proxy" >>"$samples"
fi
[[ -s $samples ]] || { echo "nothing was measured" >&2; exit 2; }

today=$work/today  # name,unit,median,lowest,highest,rounds
sort -k1,1 -k3,3g "$samples" | awk '
  function close_figure() {
    if (n == 0) return
    m = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    printf "%s,%s,%.4g,%.4g,%.4g,%d\n", name, unit, m, v[1], v[n], n
  }
  $1 != name { close_figure(); n = 0; name = $1; unit = $2 }
  { v[++n] = $3 }
  END { close_figure() }' >"$today"

model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)
machine="${model:-unknown processor}, $(nproc) cores"
commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)
mkdir -p "$root/bench/results"
last=$(find "$root/bench/results" -name 'figures-*.csv' | sort | tail -1)
same=no
if [[ -n $last ]]; then
  echo "against ${last#"$root"/}: $(sed -n 's/^# machine: //p' "$last"), commit $(sed -n 's/^# commit: //p' "$last")"
  [[ $(sed -n 's/^# machine: //p' "$last") == "$machine" ]] && same=yes
  [[ $same == yes ]] || echo "this is another machine ($machine): nothing is judged"
fi
status=0
printf '%-48s %-6s %26s %26s %8s\n' figure unit last today change
awk -F, -v same="$same" '
  NR == FNR { if ($0 !~ /^#|^name,/) { m[$1] = $3; low[$1] = $4; high[$1] = $5 } next }
  {
    before = $1 in m ? sprintf("%s (%s-%s)", m[$1], low[$1], high[$1]) : "-"
    change = ""; verdict = ""
    if ($1 in m) {
      change = sprintf("%+.0f %%", 100 * ($3 / m[$1] - 1))
      if ($4 <= high[$1] && low[$1] <= $5) verdict = "noise"
      else if ($3 > m[$1]) { verdict = "slower"; if (same == "yes" && $3 > 1.1 * m[$1]) bad = 1 }
      else verdict = "faster"
    }
    printf "%-48s %-6s %26s %26s %8s %s\n", $1, $2, before, sprintf("%s (%s-%s)", $3, $4, $5), change, verdict
  }
  END { exit bad }' "${last:-/dev/null}" "$today" || status=1

if [[ $record == yes ]]; then
  file=$root/bench/results/figures-$(date -u +%Y-%m-%d).csv
  {
    echo "# machine: $machine"
    echo "# commit: $commit"
    echo "# command: $command"
    echo "# load while measuring: $(cut -d' ' -f1 /proc/loadavg)"
    echo "name,unit,median,lowest,highest,rounds"
    cat "$today"
  } >"$file"
  echo "recorded in ${file#"$root"/}"
fi
exit $status
