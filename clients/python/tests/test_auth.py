"""Clients that have to show who they are."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator

import pytest
from gateway import Gateway, fresh

from tidings import Refused, sync

SECRET = "a secret of the tests, long enough for HS256"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Gateway]:
    running = Gateway(
        TIDINGS__AUTH__MODE="token", TIDINGS__AUTH__JWT__SECRET=SECRET, TIDINGS__AUTH__JWT__LEEWAY="0s"
    )
    yield running
    assert running.stop() == 0, "".join(running.lines)


def token(seconds: float, **claims: object) -> str:
    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    payload = {"exp": int(time.time() + seconds), **claims}
    said = ".".join(part(json.dumps(one).encode()) for one in ({"alg": "HS256", "typ": "JWT"}, payload))
    return f"{said}.{part(hmac.new(SECRET.encode(), said.encode(), hashlib.sha256).digest())}"


def test_a_session_is_published_and_followed_with_tokens(guarded: Gateway):
    id = fresh()
    with sync.Session(id, url=guarded.url, token=token(600, sub="worker", pub_topics=["session:*"])) as session:
        session.progress(5)
        session.complete("well")
    reader = token(600, sub="reader", sub_topics=["session:*"])
    events = list(sync.subscribe(f"session:{id}", url=guarded.url, token=reader, until=["completed"]))
    assert [event.name for event in events] == ["progress", "completed"]


def test_a_stream_goes_on_with_a_fresh_token_when_the_old_one_has_expired(guarded: Gateway):
    topic, given = f"session:{fresh()}", []

    def reader() -> str:
        given.append(token(4, sub="reader", sub_topics=["session:*"]))
        return given[-1]

    with sync.Producer(guarded.url, token=token(600, sub="worker", pub_topics=["session:*"])) as producer:
        producer.publish(topic, "model_result", {"n": 0})
        events = sync.subscribe(topic, url=guarded.url, token=reader)
        seen = [next(events).data["n"]]
        # The snapshot and the stream take one each; each that comes later is of a stream that was opened anew.
        while len(given) < 4:
            producer.publish(topic, "model_result", {"n": len(seen)})
            seen.append(next(events).data["n"])
        events.close()
    assert seen == list(range(len(seen)))


def test_without_a_token_nothing_is_told(guarded: Gateway):
    with pytest.raises(Refused) as refused:
        next(sync.subscribe(f"session:{fresh()}", url=guarded.url))
    assert refused.value.status == 401
    with pytest.raises(Refused) as refused, sync.Producer(guarded.url) as producer:
        producer.publish("session:a", "progress")
    assert refused.value.status == 401
