"""Adds up what the tests met, and holds it to a file: `./dev test coverage`.

usage: coverage.py BUILD_DIR RULES

RULES, a line each, `#` begins a comment:
    lines 90                         at least so many percent of the lines of weir/
    branches PATH                    every condition of that file has been true and false ...
    except PATH `CONDITION` true|false: REASON     ... but this one, which was never true (or false), and why

A condition is its source text on one line, so that a rule survives lines that move; a rule that excuses nothing is an error,
so that no excuse outlives its cause. Ends with 1 when something is not held.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

build, rules_path = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
root = pathlib.Path(__file__).resolve().parent.parent
NOT_OURS = r"(_test|_bench|_fuzz|_example|_cases|testing|schema_validator|schema_generator)\.(h|cc)$|/testing/|/corpus/"


def read_rules():
    lines, files, excuses = 0.0, [], {}
    for number, raw in enumerate(rules_path.read_text().splitlines(), 1):
        text = raw.split("#")[0].strip() if not raw.startswith("except") else raw.strip()
        if not text:
            continue
        excuse = re.fullmatch(r"except (\S+) `(.+)` (true|false): (.+)", text)
        if excuse:
            excuses[excuse.group(1, 2, 3)] = [excuse.group(4), False]
        elif text.startswith("lines "):
            lines = float(text.split()[1])
        elif text.startswith("branches "):
            files.append(text.split()[1])
        else:
            sys.exit(f"{rules_path}:{number}: not a rule: {raw}")
    return lines, files, excuses


def export():
    binaries = sorted(p for p in (build / "bin").iterdir() if p.stat().st_mode & 0o111 and p.is_file())
    command = ["llvm-cov-19", "export", "-format=text", "-skip-functions", f"-instr-profile={build / 'all.profdata'}"]
    command.append(str(binaries[0]))
    for binary in binaries[1:]:
        command += ["-object", str(binary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)["data"][0]["files"]


def source_of(lines, branch):
    first, first_column, last, last_column = branch[:4]
    if first == last:
        text = lines[first - 1][first_column - 1:last_column - 1]
    else:
        text = " ".join([lines[first - 1][first_column - 1:]] + lines[first:last - 1] + [lines[last - 1][:last_column - 1]])
    return re.sub(r"\s+", " ", text).strip()


def main():
    least, files, excuses = read_rules()
    parts = collections.defaultdict(lambda: [0, 0])
    missing, seen = [], 0
    matched = set()
    for file in export():
        path = pathlib.Path(file["filename"])
        if not path.is_relative_to(root / "weir") or re.search(NOT_OURS, str(path)):
            continue
        name = str(path.relative_to(root))
        lines = file["summary"]["lines"]
        part = parts[name.split("/")[1]]
        part[0] += lines["covered"]
        part[1] += lines["count"]
        if name not in files:
            continue
        matched.add(name)
        source = path.read_text().splitlines()
        counts = collections.Counter()
        for branch in file["branches"]:  # instances of a template add up
            where = tuple(branch[:4])
            counts[where, "true"] += branch[4]
            counts[where, "false"] += branch[5]
        for (where, outcome), count in sorted(counts.items()):
            seen += 1
            if count:
                continue
            condition = source_of(source, where)
            excuse = excuses.get((name, condition, outcome))
            if excuse:
                excuse[1] = True
            else:
                missing.append(f"{name}:{where[0]}: `{condition}` is never {outcome}")
    for part, (covered, count) in sorted(parts.items()):
        print(f"{part:12} {100 * covered / count:5.1f} % of {count} lines")
    covered, count = (sum(each[i] for each in parts.values()) for i in (0, 1))
    percent = 100 * covered / count
    print(f"{'all':12} {percent:5.1f} % of {count} lines (at least {least:g} %)")
    print(f"{seen} outcomes of conditions in {len(files)} files, {len(missing)} missing, {len(excuses)} excused")
    failed = percent < least
    for text in missing:
        failed = True
        print(text)
    for name in files:
        if name not in matched:
            failed = True
            print(f"{rules_path}: no such file among what was built: {name}")
    for (name, condition, outcome), (reason, used) in excuses.items():
        if not used:
            failed = True
            print(f"{rules_path}: `{condition}` of {name} is {outcome} now and then; the excuse can go")
    sys.exit(1 if failed else 0)


main()
