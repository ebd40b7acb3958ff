"""The binary under test as a child process, and its HTTP face."""

import base64
import json
import os
import pathlib
import queue
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid

BINARY = os.environ.get("GATEWAY_BIN") or str(pathlib.Path(__file__).parents[3] / "target" / "debug" / "tidings")
LISTENING = re.compile(r"listening on (http://\S+)")
DEADLINE = 30.0


class Gateway:
    """A running gateway, on a free port if none is given, with default settings unless `env` says otherwise."""

    def __init__(self, port=0, **env):
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TIDINGS__") and key != "PORT"}
        self.process = subprocess.Popen(
            [BINARY, "serve", "--listen", f"127.0.0.1:{port}"],
            env=inherited | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []
        found = queue.Queue()
        threading.Thread(target=self._read, args=(found,), daemon=True).start()
        try:
            self.url = found.get(timeout=20)
        except queue.Empty:
            self.url = None
        if self.url is None:
            self.process.kill()
            raise RuntimeError(f"the gateway did not start ({BINARY}):\n{''.join(self.lines)}")

    def _read(self, found):
        for line in self.process.stdout:
            self.lines.append(line)
            hit = LISTENING.search(line)
            if hit:
                found.put(hit.group(1))
        found.put(None)

    def stop(self):
        """Asks it to end and answers its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def http(self, method, path, body=None):
        """One exchange: `(status, parsed body)`."""
        request = urllib.request.Request(self.url + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as refused:
            return refused.code, json.loads(refused.read() or b"null")

    def publish(self, topic, name, data=None, **more):
        """Publishes one event and answers its receipt; bytes are published as bytes."""
        body = {"name": name, **more}
        if isinstance(data, bytes):
            body["data_base64"] = base64.b64encode(data).decode()
        else:
            body["data"] = data
        status, receipt = self.http("POST", f"/v1/topics/{topic}/events", body)
        assert status == 200, (status, receipt)
        return receipt

    def batch(self, entries):
        """Publishes many in one request."""
        status, receipts = self.http("POST", "/v1/events", entries)
        assert status == 200, (status, receipts)
        refused = [one for one in receipts if "seq" not in one]
        assert not refused, refused[:3]
        return receipts


def fresh(label="py"):
    """A session id that no other test uses."""
    return f"{label}-{uuid.uuid4().hex[:12]}"


def eventually(probe, what="the condition", seconds=DEADLINE):
    """Asks `probe` until it answers something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = probe()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about within {seconds} s")
