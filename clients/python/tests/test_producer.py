"""Producers and sessions: batches, order, each event once, questions; with asyncio and without."""

import asyncio
import concurrent.futures
import time

import httpx
import pytest
from gateway import Gateway, eventually, fresh
from line import Line

from tidings import Producer, QueueFull, Refused, Session, Unanswered, sync


def history(gateway: Gateway, topic: str) -> list[dict]:
    status, page = gateway.http("GET", f"/v1/topics/{topic}/events?limit=1000")
    assert status == 200, page
    return page["events"]


def answer_when_asked(gateway: Gateway, session: str, response: object) -> None:
    def asked():
        return gateway.http("GET", f"/api/wizard/clarifications/{session}")[1].get("data", {}).get("clarifications")

    (question,) = eventually(asked, "a question")
    body = {"sessionId": session, "clarificationId": question["id"], "response": response}
    assert gateway.http("POST", "/api/wizard/clarifications/respond", body)[0] == 200


def test_publishes_in_order_and_in_few_requests(gateway: Gateway):
    topic = f"session:{fresh()}"

    async def publish():
        async with Producer() as producer:
            receipts = [producer.submit(topic, "note", {"n": n}) for n in range(800)]
            return await asyncio.gather(*receipts)

    receipts = asyncio.run(publish())
    assert [receipt.seq for receipt in receipts] == list(range(1, 801))
    assert [event["data"]["n"] for event in history(gateway, topic)] == list(range(800))


def test_waits_for_a_gateway_that_is_away(gateway: Gateway, line: Line):
    topic = f"session:{fresh()}"
    line.cut()
    with sync.Producer(line.url) as producer:
        receipts = [producer.submit(topic, "note", {"n": n}) for n in range(5)]
        assert not concurrent.futures.wait(receipts, timeout=0.2).done
        line.mend()
        assert [receipt.result(20).seq for receipt in receipts] == [1, 2, 3, 4, 5]


def test_gives_up_when_its_patience_ends(line: Line):
    line.cut()
    with sync.Producer(line.url, patience=0.0) as producer, pytest.raises(httpx.TransportError):
        producer.publish("session:a", "note")


def test_publishes_once_although_answers_are_lost(gateway: Gateway, line: Line):
    topic = f"session:{fresh()}"
    line.swallow(4)
    with sync.Producer(line.url, batch_max=10) as producer:
        receipts = [producer.submit(topic, "note", {"n": n}) for n in range(50)]
        assert [receipt.result(20).seq for receipt in receipts] == list(range(1, 51))
    assert [event["data"]["n"] for event in history(gateway, topic)] == list(range(50))


def test_tells_apart_what_was_refused_in_a_batch():
    topic = f"session:{fresh()}"

    async def publish():
        async with Producer() as producer:
            entries = [(topic, "note"), (topic, "subscribed"), ("nonsense", "note"), (topic, "note")]
            return await asyncio.gather(*(producer.publish(*entry) for entry in entries), return_exceptions=True)

    first, second, third, fourth = asyncio.run(publish())
    assert (first.seq, fourth.seq) == (1, 2)
    assert isinstance(second, Refused) and second.code == "event_name_invalid" and second.status == 422
    assert isinstance(third, Refused) and third.code == "topic_invalid"


def test_splits_a_batch_that_is_too_long_for_the_gateway():
    topic = f"session:{fresh()}"

    async def publish():
        async with Producer(batch_max=3000) as producer:
            return await asyncio.gather(*(producer.submit(topic, "note", {"n": n}) for n in range(2500)))

    assert [receipt.seq for receipt in asyncio.run(publish())] == list(range(1, 2501))


def test_refuses_at_once_when_too_much_waits():
    async def publish():
        async with Producer(queue_max=2) as producer:
            for _ in range(3):
                producer.submit(f"session:{fresh()}", "note")

    with pytest.raises(QueueFull, match="await receipts"):
        asyncio.run(publish())


def test_the_same_key_is_the_same_event():
    topic = f"session:{fresh()}"
    with sync.Producer() as producer:
        first = producer.publish(topic, "note", {"n": 1}, idempotency_key=topic)
        assert producer.publish(topic, "note", {"n": 1}, idempotency_key=topic).cursor == first.cursor
        with pytest.raises(Refused) as refused:
            producer.publish(topic, "note", {"n": 2}, idempotency_key=topic)
    assert refused.value.code == "idempotency_key_reused"


def test_of_a_state_that_waits_the_newest_is_sent(gateway: Gateway, line: Line):
    topic = f"session:{fresh()}"
    line.cut()
    with sync.Producer(line.url) as producer:
        receipts = [producer.submit(topic, "progress", {"progress": n}, newest=True) for n in range(100)]
        fact = producer.submit(topic, "note", {})
        line.mend()
        # At most two: one may be on its way when the others come.
        seqs = {receipt.result(20).seq for receipt in receipts}
        assert len(seqs) <= 2 and fact.result(20).seq == max(seqs) + 1
    assert history(gateway, topic)[-2]["data"]["progress"] == 99


def test_a_session_tells_its_story(gateway: Gateway):
    id = fresh()

    async def work() -> object:
        async with Session(id) as session:
            await session.progress(10, message="reading", prompts={"total": 2, "completed": 0})
            await session.model_result("llama3.1:8b", "yes", duration=12.5)
            asking = asyncio.create_task(session.ask("Go on?", schema={"type": "boolean"}))
            await asyncio.to_thread(answer_when_asked, gateway, id, True)
            answer = await asking
            await session.progress(90)
            await session.complete({"answer": answer})
            return answer

    assert asyncio.run(work()) is True
    events = history(gateway, f"session:{id}")
    assert [event["name"] for event in events] == [
        "progress",
        "model_result",
        "clarification",
        "clarification",
        "progress",
        "completed",
    ]
    assert events[0]["data"]["prompts"] == {"total": 2, "completed": 0}
    assert events[-1]["data"]["result"] == {"answer": True}


def test_a_session_without_asyncio_tells_its_story(gateway: Gateway):
    id = fresh()
    with sync.Session(id) as session, concurrent.futures.ThreadPoolExecutor(1) as pool:
        answered = pool.submit(answer_when_asked, gateway, id, "blue")
        session.progress(50)
        assert session.ask("Which colour?", context={"page": 3}) == "blue"
        session.complete("done")
        answered.result()
    assert gateway.http("GET", f"/api/wizard/status/{id}")[1]["data"]["status"] == "COMPLETED"


def test_what_leaves_the_block_ends_the_session(gateway: Gateway):
    id = fresh()
    with pytest.raises(ZeroDivisionError), sync.Session(id) as session:
        session.progress(1 / 0)
    status = gateway.http("GET", f"/api/wizard/status/{id}")[1]["data"]
    assert (status["status"], status["error"]) == ("FAILED", "ZeroDivisionError: division by zero")


def test_a_progress_that_was_refused_is_raised_later():
    with pytest.raises(Refused, match="not allowed"), sync.Session(".hidden") as session:
        session.progress(1)


def test_a_default_is_taken_and_without_one_nobody_has_answered():
    with sync.Session(fresh()) as session:
        begun = time.monotonic()
        assert session.ask("?", default="red", expires_in=0.3) == "red"
        with pytest.raises(Unanswered):
            session.ask("?", expires_in=0.3)
        assert time.monotonic() - begun < 30


def test_a_producer_works_after_a_fork(gateway: Gateway):
    import multiprocessing

    topic = f"session:{fresh()}"
    with sync.Producer() as producer:
        producer.publish(topic, "note", {"n": 1})
    child = multiprocessing.get_context("fork").Process(target=_publish, args=(topic,))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert [event["data"]["n"] for event in history(gateway, topic)] == [1, 2]


def _publish(topic: str) -> None:
    with sync.Producer() as producer:
        producer.publish(topic, "note", {"n": 2})
