#!/usr/bin/env python3
"""Runs real clients against the example `wire`, which is killed and restarted, and compares what they received.

Each client prints a line for each message or gap. All must have printed every message once, in order, and no gap: the
ids survive the restart, because the messages are in Redis.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVER = HERE.parent / "target/debug/examples/wire"
PYTHON = HERE / ".venv/bin/python"
CLIENTS = {
    "eventsource": ["node", "eventsource.mjs"],
    "fetch-event-source": ["node", "fetch_event_source.mjs"],
    "ws": ["node", "ws.mjs"],
    "httpx-sse": [PYTHON, "httpx_sse_client.py"],
    "websockets": [PYTHON, "websockets_client.py"],
    "curl": [sys.executable, "curl_client.py"],
}
MISSING = {
    "node": "node 20 or newer is missing, so three clients are left out",
    "redis-server": "redis-server is missing: sudo apt-get install redis-server",
    "curl": "curl is missing: sudo apt-get install curl",
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def install():
    """Installs the pinned packages. Returns the clients that can run."""
    able = dict(CLIENTS)
    if shutil.which("npm") is None:
        print(MISSING["node"])
        able = {name: command for name, command in able.items() if command[0] != "node"}
    elif not (HERE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True)
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", HERE / ".venv"], check=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"]
        subprocess.run(pip, check=True)
    for program in ("redis-server", "curl"):
        if shutil.which(program) is None:
            sys.exit(MISSING[program])
    return able


class Server:
    def __init__(self, redis_port):
        self.port = free_port()
        self.env = {**os.environ, "PORT": str(self.port), "REDIS_URL": f"redis://127.0.0.1:{redis_port}/"}
        self.start()

    def start(self):
        self.process = subprocess.Popen([SERVER], env=self.env, stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def stop(self, how):
        self.process.send_signal(how)
        self.process.wait(20)

    def publish(self, numbers):
        for number in numbers:
            body = json.dumps({"text": str(number)}).encode()
            headers = {"content-type": "application/json"}
            request = urllib.request.Request(f"http://127.0.0.1:{self.port}/feed", body, headers)
            urllib.request.urlopen(request, timeout=5).read()


def received(path):
    return path.read_text().split("\n")[:-1]


def run(folder, able):
    redis_port = free_port()
    redis = subprocess.Popen(
        ["redis-server", "--port", str(redis_port), "--save", "", "--dir", folder], stdout=subprocess.DEVNULL
    )
    started = [redis]
    try:
        wait_for_port(redis_port)
        server = Server(redis_port)
        server.publish(range(1, 6))
        outputs = {}
        for name, command in able.items():
            outputs[name] = folder / f"{name}.txt"
            url = f"http://127.0.0.1:{server.port}/feed"
            with outputs[name].open("w") as output:
                started.append(subprocess.Popen([*command, url], cwd=HERE, stdout=output))
        wait_for(outputs, 5)
        time.sleep(2)  # some keep-alives
        server.publish(range(6, 21))
        wait_for(outputs, 20)
        server.stop(signal.SIGKILL)
        server.start()
        server.publish(range(21, 41))
        wait_for(outputs, 40)
        server.stop(signal.SIGTERM)
        server.start()
        server.publish(range(41, 61))
        wait_for(outputs, 60)
        time.sleep(1)  # what would come twice
        failed = False
        for name, output in outputs.items():
            lines = received(output)
            equal = lines == [str(number) for number in range(1, 61)]
            failed |= not equal
            print(f"{name}: " + ("60 messages, once and in order" if equal else f"received {lines}"))
        server.stop(signal.SIGTERM)
        return failed
    finally:
        for process in started:
            process.kill()
            process.wait()
        if "server" in locals() and server.process.poll() is None:
            server.process.kill()


def wait_for(outputs, count):
    """Waits until each client has so many lines. The comparison at the end reports what is missing."""
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if all(len(received(output)) >= count for output in outputs.values()):
            return
        time.sleep(0.1)
    print(f"not all clients have {count} messages after 40 s")


if __name__ == "__main__":
    if not SERVER.exists():
        sys.exit("build the server first: cargo build -p examples --example wire")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run(Path(folder), install()))
