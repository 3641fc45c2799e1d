"""`websockets` reconnects only to the same address, so the loop is written here, with the newest id in the query."""

import json
import sys
import time
from urllib.parse import urlencode

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

last_id = ""
while True:
    query = "?" + urlencode({"last_event_id": last_id}) if last_id else ""
    try:
        with connect(sys.argv[1].replace("http", "ws", 1) + query) as socket:
            for frame in socket:
                frame = json.loads(frame)
                if "data" in frame:
                    gap = "event" in frame
                    print(f"gap {frame['data']}" if gap else frame["data"]["text"], flush=True)
                last_id = frame.get("id", last_id)
    except (OSError, WebSocketException):
        pass
    time.sleep(0.5)
