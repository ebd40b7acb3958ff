"""Following topics: the snapshot, then everything once and in order, across faults; with asyncio and without."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator

import pytest
from gateway import Gateway, eventually, fresh
from line import Line

import tidings
from tidings import Event, Refused, sync


class Awaited:
    """An asynchronous iteration as an ordinary one, on a loop of its own."""

    def __init__(self, events: AsyncGenerator[Event, None]):
        self._loop = asyncio.new_event_loop()
        self._events = events

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(anext(self._events), 20))
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        self._loop.run_until_complete(self._events.aclose())
        self._loop.close()


@pytest.fixture(params=["sync", "asyncio"])
def follow(request: pytest.FixtureRequest) -> Iterator[Callable[..., Iterator[Event]]]:
    opened: list = []

    def start(*args, **more) -> Iterator[Event]:
        events = sync.subscribe(*args, **more) if request.param == "sync" else Awaited(tidings.subscribe(*args, **more))
        opened.append(events)
        return iter(events)

    yield start
    for events in opened:
        events.close()


def results(topic: str, first: int, last: int) -> list[dict]:
    return [{"topic": topic, "name": "model_result", "data": {"n": n}} for n in range(first, last + 1)]


def take(events: Iterator[Event], count: int) -> list[Event]:
    return [next(events) for _ in range(count)]


def numbers(events: list[Event]) -> list[int]:
    return [event.data["n"] for event in events]


def test_the_snapshot_comes_first_in_the_order_of_the_log(gateway: Gateway, follow):
    topic = f"session:{fresh()}"
    gateway.publish(topic, "progress", {"progress": 10})
    gateway.publish(topic, "model_result", {"modelName": "a"})
    gateway.publish(topic, "progress", {"progress": 20})
    events = follow(topic)
    assert [(event.name, event.seq, event.replayed) for event in take(events, 2)] == [
        ("model_result", 2, True),
        ("progress", 3, True),
    ]
    receipt = gateway.publish(topic, "completed", {"result": {}})
    (event,) = take(events, 1)
    assert (event.name, event.cls, event.cursor) == ("completed", "terminal", f"{receipt['epoch']}:4")


def test_a_cursor_brings_exactly_what_was_missed(gateway: Gateway, follow):
    topic = f"job:{fresh()}"
    receipts = gateway.batch(results(topic, 1, 5))
    events = follow(topic, since=f"{receipts[1]['epoch']}:2")
    assert numbers(take(events, 3)) == [3, 4, 5]


def test_nothing_is_lost_or_doubled_while_the_line_is_cut(gateway: Gateway, line: Line, follow):
    topic = f"session:{fresh()}"
    events = follow(topic, url=line.url)
    seen: list[int] = []
    for part in range(5):
        gateway.batch(results(topic, part * 40 + 1, part * 40 + 20))
        line.mend()
        seen += numbers(take(events, 5))
        line.cut()
        gateway.batch(results(topic, part * 40 + 21, part * 40 + 40))
    line.mend()
    seen += numbers(take(events, 200 - len(seen)))
    assert seen == list(range(1, 201))


def test_a_lost_log_is_a_gap_and_then_the_snapshot(gateway: Gateway, line: Line, follow):
    topic = f"session:{fresh()}"
    gateway.batch(results(topic, 1, 3))
    events = follow(topic, url=line.url)
    assert numbers(take(events, 3)) == [1, 2, 3]
    other = Gateway()
    try:
        other.batch(results(topic, 101, 102))
        line.cut()
        line.mend(other.url)
        gap, *rest = take(events, 3)
        assert (gap.name, gap.cursor, gap.data["topic"]) == ("gap", None, topic)
        assert numbers(rest) == [101, 102]
        other.publish(topic, "model_result", {"n": 103})
        assert numbers(take(events, 1)) == [103]
        line.cut()
    finally:
        other.stop()


def test_a_topic_that_is_not_there_yet_is_waited_for(gateway: Gateway, follow):
    topic = f"room:{fresh()}"
    events = follow(topic, until=["bye"])

    def publish() -> None:
        eventually(lambda: gateway.http("GET", f"/v1/topics/{topic}/subscribers")[1].get("subscribers"))
        gateway.publish(topic, "picture", b"\x00\xff")
        gateway.publish(topic, "bye", {})
        gateway.publish(topic, "late", {})

    publishing = threading.Thread(target=publish)
    publishing.start()
    assert [(event.name, event.data if event.name == "picture" else None) for event in events] == [
        ("picture", b"\x00\xff"),
        ("bye", None),
    ]
    publishing.join()


def test_a_refusal_is_raised(follow):
    with pytest.raises(Refused) as refused:
        next(follow("nonsense:a"))
    assert (refused.value.code, refused.value.status) == ("topic_invalid", 422)


def test_an_iteration_that_is_closed_leaves_the_topic(gateway: Gateway):
    topic = f"session:{fresh()}"
    gateway.publish(topic, "progress", {})
    events = sync.subscribe(topic)
    next(events)
    events.close()
    eventually(lambda: gateway.http("GET", f"/v1/topics/{topic}/subscribers")[1]["subscribers"] == [])
