"""SIGTERM: python clients come back to the successor by themselves, whatever they are on."""

from urllib.parse import urlparse

from clients import subscribe
from conftest import KINDS
from gateway import Gateway


def test_every_client_comes_back_to_a_new_process_on_the_same_port():
    first = Gateway()
    clients = {}
    second = None
    try:
        for name, (cls, transport, msgpack) in enumerate(KINDS):
            clients[name] = cls(first.url, transport, msgpack=msgpack, reconnection=True)
            subscribe(clients[name], "drained")
        first.publish("session:drained", "model_result", {"process": "first"})
        for client in clients.values():
            client.event("model_result", lambda data: data["process"] == "first")
        before = {name: len(client.log) for name, client in clients.items()}
        assert first.stop() == 0, "".join(first.lines)
        second = Gateway(urlparse(first.url).port)
        for name, client in clients.items():
            client.event("connected", after=before[name], seconds=60)
            subscribe(client, "drained")
        second.publish("session:drained", "model_result", {"process": "second"})
        for client in clients.values():
            client.event("model_result", lambda data: data["process"] == "second")
    finally:
        for client in clients.values():
            client.close()
        first.stop()
        if second:
            assert second.stop() == 0, "".join(second.lines)
