"""`httpx-sse` does not reconnect. Whoever does it keeps the newest id. An id alone is an event without data."""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse

last_id = ""
while True:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    try:
        with httpx.Client(timeout=httpx.Timeout(5, read=30)) as client:
            with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
                for event in source.iter_sse():
                    if not event.data and event.id == last_id:
                        print("an empty event", flush=True)  # the server has written a blank line too many
                    last_id = event.id or last_id
                    if event.data:
                        gap = event.event != "message"
                        print(f"gap {event.data}" if gap else event.json()["text"], flush=True)
    except httpx.TransportError:
        pass
    time.sleep(0.5)
