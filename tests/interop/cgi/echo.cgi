#!/bin/sh
# The SHA-256 of the body, as text.
sum=$(head -c "${CONTENT_LENGTH:-0}" | sha256sum | cut -d' ' -f1)
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$sum"
