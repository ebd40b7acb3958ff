"""Progress bars that stream."""

import io

from gateway import Gateway, fresh
from tqdm import tqdm

from tidings import stream


def progresses(gateway: Gateway, topic: str) -> list[dict]:
    return [event["data"] for event in gateway.http("GET", f"/v1/topics/{topic}/events?limit=1000")[1]["events"]]


def test_an_iteration_streams_with_one_line(gateway: Gateway):
    topic = f"session:{fresh()}"
    items = list(stream(tqdm(range(500), desc="pages", mininterval=0, file=io.StringIO()), topic))
    assert items == list(range(500))
    told = progresses(gateway, topic)
    percents = [one["progress"] for one in told]
    assert percents == sorted(percents) and percents[-1] == 100
    assert told[-1]["message"] == "pages" and (told[-1]["current"], told[-1]["total"]) == (500, 500)


def test_a_bar_moved_by_hand_streams_what_it_draws(gateway: Gateway):
    topic = f"job:{fresh()}"
    with stream(tqdm(total=10, mininterval=0, file=io.StringIO()), topic) as bar:
        for _ in range(4):
            bar.update(2)
    assert progresses(gateway, topic)[-1]["progress"] == 80


def test_a_bar_without_a_total_has_a_count(gateway: Gateway):
    topic = f"session:{fresh()}"
    for _ in stream(tqdm(iter(range(3)), mininterval=0, file=io.StringIO()), topic):
        pass
    (*_, last) = progresses(gateway, topic)
    assert last["current"] == 3 and "progress" not in last
