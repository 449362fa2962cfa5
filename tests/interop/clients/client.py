"""python3-requests through the gate: one session, so connections are reused. Exits 1 at the first difference."""
import hashlib
import os
import sys

import requests

base, root, size = sys.argv[1:4]


def expect(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def file_sum(name):
    with open(os.path.join(root, name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


session = requests.Session()
for _ in range(3):
    answer = session.get(base + "/small.txt")
    expect((answer.status_code, answer.content), (200, b"hello through the gate\n"), "GET")
answer = session.head(base + "/small.txt")
expect((answer.status_code, answer.content), (200, b""), "HEAD")
expect(session.get(base + "/nothing-here").status_code, 404, "GET of what is not there")

if size == "big":
    total = hashlib.sha256()
    with session.get(base + "/big.bin", stream=True) as answer:
        for piece in answer.iter_content(1 << 20):
            total.update(piece)
    expect(total.hexdigest(), file_sum("big.bin"), "100 MB down")
    with open(os.path.join(root, "big.bin"), "rb") as file:
        answer = session.post(base + "/echo", data=file)
    expect(answer.text.strip(), file_sum("big.bin"), "100 MB up")
    pieces = (bytes([n % 251]) * 10_000 for n in range(300))
    whole = hashlib.sha256(b"".join(bytes([n % 251]) * 10_000 for n in range(300))).hexdigest()
    expect(session.post(base + "/echo", data=pieces).text.strip(), whole, "chunked POST")
    events = [line for line in session.get(base + "/events", stream=True).iter_lines() if line]
    expect(events, [b"data: 1", b"data: 2", b"data: 3"], "events")
