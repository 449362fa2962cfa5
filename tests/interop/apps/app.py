"""An origin under gunicorn: files, the SHA-256 of a body, three events."""
import hashlib
import os

ROOT = os.environ["INTEROP_ROOT"]


def digest(stream):
    total = hashlib.sha256()
    for piece in iter(lambda: stream.read(65536), b""):
        total.update(piece)
    return total.hexdigest().encode() + b"\n"


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/echo":
        body = digest(environ["wsgi.input"])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "/events":
        start_response("200 OK", [("Content-Type", "text/event-stream")])
        return (b"data: %d\n\n" % n for n in (1, 2, 3))
    file = os.path.join(ROOT, os.path.basename(path))
    if not os.path.isfile(file):
        start_response("404 Not Found", [("Content-Length", "0")])
        return [b""]
    start_response("200 OK", [("Content-Length", str(os.path.getsize(file)))])
    if environ["REQUEST_METHOD"] == "HEAD":  # gunicorn would send the body all the same
        return [b""]
    return environ["wsgi.file_wrapper"](open(file, "rb"), 65536)
