"""One gateway for the whole run; clients are closed after each test, whatever happened."""

import logging

import pytest

from clients import Async, Sync
from gateway import Gateway

KINDS = [(cls, transport, msgpack) for cls in (Sync, Async) for transport in ("websocket", "polling", "upgrade") for msgpack in (False, True)]


@pytest.fixture(scope="session")
def gateway():
    running = Gateway()
    yield running
    assert running.stop() == 0, "".join(running.lines)


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0].kind}-{kind[1]}{'-msgpack' if kind[2] else ''}")
def kind(request):
    return request.param


@pytest.fixture
def open_client(gateway, kind, caplog):
    """Opens clients of this kind. A handler that raised (a second argument, say) fails the test."""
    opened = []

    def start(cls=None, **options):
        default, transport, msgpack = kind
        client = (cls or default)(gateway.url, transport, msgpack=msgpack, **options)
        opened.append(client)
        return client

    with caplog.at_level(logging.ERROR):
        yield start
        for client in opened:
            client.close()
    raised = [record.getMessage() for record in caplog.records if record.exc_info or "never retrieved" in record.getMessage()]
    assert not raised, raised
