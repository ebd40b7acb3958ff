"""The Python clients of the plain WebSocket applications, unchanged but for host and job id, as programs of their own."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.sync.client import connect

from gateway import eventually, fresh

HERE = pathlib.Path(__file__)


def start(name, replacements):
    source = HERE.with_name(name).read_text()
    for old, new in replacements.items():
        assert old in source
        source = source.replace(old, new)
    return subprocess.Popen(
        [sys.executable, "-u", "-c", source], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    )


def watched(gateway, topic):
    eventually(lambda: gateway.http("GET", f"/v1/topics/{topic}/subscribers")[1].get("subscribers"), "the program's subscription")


def test_the_progress_channels_client_prints_every_status(gateway):
    job = fresh("job")
    assert gateway.http("POST", "/v1/jobs", {"id": job})[0] == 201
    program = start("channel_client.py", {"localhost:8000": gateway.url.removeprefix("http://"), "job-123": job})
    try:
        watched(gateway, f"job:{job}")
        for step, body in [("started", {}), ("progress", {"progress": 75.0, "message": "Processing stage 3"}), ("completed", {"message": "done"})]:
            assert gateway.http("POST", f"/v1/jobs/{job}/{step}", body)[0] == 200
        lines = []
        while not lines or lines[-1] != "Message: done":
            lines.append(program.stdout.readline().strip())
    finally:
        program.kill()
        program.communicate()
    line = "-" * 30
    want = ["Status: pending", "Progress: 0.0%", line, "Status: in_progress", "Progress: 0.0%", line]
    want += ["Status: in_progress", "Progress: 75.0%", "Message: Processing stage 3", line, "Status: completed", "Progress: 100.0%", "Message: done"]
    assert lines == want


def test_the_job_progress_client_receives_an_update(gateway):
    job = fresh("job")
    program = start("job_client.py", {"localhost:8080": gateway.url.removeprefix("http://"), "test-job-id": job})
    try:
        watched(gateway, f"job:{job}")
        gateway.publish(f"job:{job}", "job_started", {"total_files": 42})
        printed, errors = program.communicate(timeout=20)
    finally:
        program.kill()
    assert program.returncode == 0, errors
    assert "'type': 'job_started'" in printed and "'total_files': 42" in printed


@pytest.mark.parametrize("bits", [None, 15, 12, 9])
def test_a_stock_client_gets_its_long_messages_compressed(gateway, bits):
    job = fresh("job")
    text = "the same page of text again; " * 20_000
    gateway.publish(f"job:{job}", "job_started", {"text": text})
    offer = [ClientPerMessageDeflateFactory(server_max_window_bits=bits)] if bits else None
    with connect(f"{gateway.url.replace('http', 'ws')}/ws/{job}", extensions=offer) as client:
        agreed = client.response.headers["Sec-WebSocket-Extensions"]
        window = f"; server_max_window_bits={bits}" if bits else ""
        assert agreed == f"permessage-deflate; server_no_context_takeover; client_no_context_takeover{window}"
        assert json.loads(client.recv(timeout=20))["text"] == text
        client.send("{" + " " * 100_000)
        assert json.loads(client.recv(timeout=20))["message"] == "Invalid JSON format"
        gateway.publish(f"job:{job}", "job_completed", {"text": text})
        assert json.loads(client.recv(timeout=20))["type"] == "job_completed"
