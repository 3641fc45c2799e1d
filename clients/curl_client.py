"""`curl` shows the lines of the stream. A script around it keeps the newest id and starts it again."""

import json
import subprocess
import sys
import time

last_id = ""
while True:
    header = ["-H", f"last-event-id: {last_id}"] if last_id else []
    curl = subprocess.Popen(["curl", "-sN", *header, sys.argv[1]], stdout=subprocess.PIPE, text=True)
    fields = {}
    for line in curl.stdout:
        name, _, value = line.rstrip("\n").partition(": ")
        if name:
            fields[name] = value
            continue
        if line != "\n":
            continue  # a comment
        last_id = fields.get("id", last_id)
        if "data" in fields:
            gap = "event" in fields
            print(f"gap {fields['data']}" if gap else json.loads(fields["data"])["text"], flush=True)
        fields = {}
    curl.wait()
    time.sleep(0.5)
