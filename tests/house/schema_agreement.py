"""What `weir schema` prints, before a validator that is not weir's own (Debian's python3-jsonschema).

usage: schema_agreement.py WEIR SCHEMA_CASES CONFIG_CASES_DIR

The schema itself must be a sound draft 2020-12 schema; every document drawn from the table of keys gets the verdict that
weir's own check gives it; and the good files of the collection that are JSON fit.
Ends with 77 (skipped) where jsonschema is not installed.
"""
import json
import pathlib
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

weir, schema_cases, cases = sys.argv[1:4]
schema = json.loads(subprocess.run([weir, "schema"], check=True, capture_output=True).stdout)
validator_class = jsonschema.Draft202012Validator
validator_class.check_schema(schema)
validator = validator_class(schema)

wrong = 0
count = {True: 0, False: 0}
drawn = subprocess.run([schema_cases, "1000"], check=True, capture_output=True, text=True).stdout
for number, line in enumerate(drawn.splitlines(), 1):
    case = json.loads(line)
    count[case["valid"]] += 1
    if validator.is_valid(case["document"]) != case["valid"]:
        wrong += 1
        print(f"line {number}: weir says {'valid' if case['valid'] else case['fault']}, the schema says otherwise")
for path in sorted(pathlib.Path(cases, "good").glob("*.json")):
    for error in validator.iter_errors(json.loads(path.read_text())):
        wrong += 1
        print(f"{path.name}: {error.message}")
print(f"{count[True]} right documents, {count[False]} with one fault, {wrong} disagreements")
sys.exit(1 if wrong or count[True] < 1000 or count[False] < 900 else 0)
