"""The session app's own Python client, unchanged but for host and session id, as a program of its own."""

import os
import pathlib
import subprocess
import sys

from gateway import eventually, fresh

SOURCE = pathlib.Path(__file__).with_name("session_client.py")


def start(gateway, session):
    source = SOURCE.read_text().replace("http://localhost:3000", gateway.url).replace("your-session-id", session)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", source], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    )


def run(gateway, before, then):
    """Runs the program around what is published before it joins and after; answers what it printed."""
    session = fresh("doc")
    topic = f"session:{session}"
    for name, data in before:
        gateway.publish(topic, name, data)
    program = start(gateway, session)
    try:
        eventually(lambda: gateway.http("GET", f"/v1/topics/{topic}/subscribers")[1].get("subscribers"), "the program's subscription")
        for name, data in then:
            gateway.publish(topic, name, data)
        printed, errors = program.communicate(timeout=20)
    finally:
        program.kill()
    assert program.returncode == 0 and "Traceback" not in errors, errors
    return printed


def says(printed, expected):
    """Each line is there once and nothing else; handlers run in threads of their own, which share one line now and then."""
    for line in sorted(expected, key=len, reverse=True):
        assert printed.count(line) >= 1, (line, printed)
        printed = printed.replace(line, "", 1)
    assert not printed.split(), printed


PROGRESS = ("progress", {"status": "PROCESSING", "progress": 40})
GOOD = ("model_result", {"modelName": "llama3.1:8b", "status": "completed", "result": "forty-two"})
BAD = ("model_result", {"modelName": "qwen", "status": "failed", "error": "out of memory"})


def test_it_prints_the_session_and_ends_when_it_is_complete(gateway):
    printed = run(gateway, [], [PROGRESS, GOOD, BAD, ("completed", {"result": {}})])
    assert printed.startswith("Connected to WebSocket\n")
    shown = ["Progress: 40%", "Status: PROCESSING", "Model llama3.1:8b: completed", "Result: forty-two", "Model qwen: failed", "Session completed!"]
    says(printed, ["Connected to WebSocket", *shown])


def test_it_gets_what_happened_before_it_came(gateway):
    printed = run(gateway, [PROGRESS, GOOD], [("completed", {"result": {}})])
    says(printed, ["Connected to WebSocket", "Progress: 40%", "Status: PROCESSING", "Model llama3.1:8b: completed", "Result: forty-two", "Session completed!"])
