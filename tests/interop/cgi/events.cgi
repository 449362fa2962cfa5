#!/bin/sh
# Three server-sent events.
printf 'Content-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: 2\n\ndata: 3\n\n'
