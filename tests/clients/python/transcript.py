"""Follows one session with python-socketio and prints each event as a line, until it is complete: URL SESSION."""

import json
import sys
import threading

import socketio

url, session = sys.argv[1:]
client = socketio.Client()
QUIET = {"timestamp", "sessionId", "topic", "_epoch", "id"}
lines = threading.Lock()


def short(data):
    """The payload without what differs from run to run."""
    if isinstance(data, dict):
        return {key: short(value) for key, value in data.items() if key not in QUIET and value is not None}
    return [short(one) for one in data] if isinstance(data, list) else data


def follow(name):
    def handle(data):
        with lines:
            print(f"{name:<15} {json.dumps(short(data), ensure_ascii=False, separators=(',', ':'))}", flush=True)
        if name == "completed":
            client.disconnect()

    client.on(name, handle)


@client.event
def connect():
    print(f"connect         {client.transport()}", flush=True)
    client.emit("subscribe", session)


for each in ["subscribed", "progress", "model_result", "clarification", "completed", "error"]:
    follow(each)
client.connect(url, socketio_path="/socket.io/")
client.wait()
