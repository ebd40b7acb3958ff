"""What python-socketio clients see of a session, on every transport, with both parsers."""

import re

import pytest

from clients import subscribe, transport_of, wait_for_transport
from gateway import fresh

ISO = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
FIVE = ["progress", "model_result", "clarification", "completed", "error"]


def test_connected_tells_the_public_id(open_client):
    client = open_client()
    data = client.event("connected")
    assert data["socketId"] == client.client.get_sid("/")
    assert data["socketId"] != client.client.eio.sid
    assert ISO.match(data["timestamp"])


def test_it_ends_on_its_transport(open_client, kind):
    client = open_client()
    wait_for_transport(client, "polling" if kind[1] == "polling" else "websocket")
    subscribe(client, fresh())
    assert transport_of(client) == ("polling" if kind[1] == "polling" else "websocket")


def test_subscribing_in_every_form(open_client, gateway):
    client = open_client()
    plain, by_object, by_topic, *several = [fresh() for _ in range(5)]
    confirmed = subscribe(client, plain)
    assert confirmed["topic"] == f"session:{plain}" and ISO.match(confirmed["timestamp"])
    ack = client.ask("subscribe", {"sessionId": by_object})
    assert ack["ok"] is True and ack["topic"] == f"session:{by_object}" and ack["recovered"] is False
    assert client.ask("subscribe", {"topic": f"session:{by_topic}"})["ok"] is True
    assert [one["topic"] for one in client.ask("subscribe", several)] == [f"session:{one}" for one in several]
    for session in [plain, by_object, by_topic, *several]:
        assert gateway.publish(f"session:{session}", "progress", {"progress": 1})["subscribers"] == 1
        client.event("progress", lambda data, session=session: data["sessionId"] == session)


def test_handlers_with_one_parameter_get_each_event_once(open_client, gateway):
    client, session = open_client(), fresh()
    subscribe(client, session)
    body = {"nested": {"list": [1, 2.5, None, True, "é 漢 🚀"], "empty": {}}}
    for number, name in enumerate([*FIVE, "thumbnail_ready"], 1):
        receipt = gateway.publish(f"session:{session}", name, body)
        data = client.event(name)
        assert data["nested"] == body["nested"] and data["sessionId"] == session
        assert data["_seq"] == receipt["seq"] == number and data["_epoch"] == receipt["epoch"]
        assert "_replayed" not in data and ISO.match(data["timestamp"])
    assert client.sequence() == [1, 2, 3, 4, 5, 6]


def test_bytes_arrive_as_bytes(open_client, gateway):
    client, session = open_client(), fresh()
    subscribe(client, session)
    raw = bytes([0, 1, 2, 0x1E, 0xFF, 0x80, 0x34, 0x0A])
    gateway.publish(f"session:{session}", "model_result", raw)
    assert client.event("model_result") == raw


def test_a_late_joiner_gets_the_snapshot(open_client, gateway):
    client, session = open_client(), fresh()
    topic = f"session:{session}"
    for name, data in [("progress", {"progress": 1}), ("model_result", {"modelName": "a"}), ("clarification", {"question": "?"}), ("progress", {"progress": 2})]:
        gateway.publish(topic, name, data)
    subscribe(client, session)
    gateway.publish(topic, "completed", {"result": {}})
    client.event("completed")
    client.event("progress", lambda data: data["progress"] == 2)
    # python-socketio starts a thread or task for each event, so only the set is the gateway's doing
    seen = {(name, data["_seq"], data.get("_replayed", False)) for name, data in client.log if isinstance(data, dict) and "_seq" in data}
    assert seen == {("model_result", 2, True), ("clarification", 3, True), ("progress", 4, True), ("completed", 5, False)}


def test_since_resumes_exactly_and_a_foreign_cursor_is_a_gap(open_client, gateway):
    client, session = open_client(), fresh()
    topic = f"session:{session}"
    receipts = [gateway.publish(topic, "model_result", {"n": n}) for n in range(1, 6)]
    epoch = receipts[0]["epoch"]
    ack = client.ask("subscribe", {"sessionId": session, "since": f"{epoch}:3"})
    assert ack["ok"] is True and ack["recovered"] is True
    gateway.publish(topic, "completed", {})
    client.event("completed")
    assert sorted(client.sequence()) == [4, 5, 6]
    other = open_client()
    foreign = f"{gateway.publish(f'session:{fresh()}', 'progress', {})['epoch']}:3"
    ack = other.ask("subscribe", {"sessionId": session, "since": foreign})
    assert ack["ok"] is True and ack["recovered"] is False
    assert other.event("gap")["from"] == foreign
    assert other.event("completed")["_replayed"] is True


def test_nothing_comes_after_unsubscribing(open_client, gateway):
    client, session = open_client(), fresh()
    subscribe(client, session)
    gateway.publish(f"session:{session}", "progress", {"progress": 1})
    client.event("progress")
    client.emit("unsubscribe", session)
    assert client.event("unsubscribed")["sessionId"] == session
    assert gateway.publish(f"session:{session}", "progress", {"progress": 2})["subscribers"] == 0
    assert client.ask("unsubscribe", session)["ok"] is True
    assert [data["progress"] for data in client.payloads("progress")] == [1]


@pytest.mark.parametrize(
    "payload",
    [5, None, "", {}, [], "../x", "a/b", ".x", "x" * 129, {"topic": "nokind"}, {"topic": "job:connect"}, {"sessionId": 3}, {"sessionId": "a", "since": "soon"}, b"bytes"],
    ids=repr,
)
def test_malformed_subscribes_are_refused_and_harm_nothing(open_client, gateway, payload):
    client, session = open_client(), fresh()
    client.emit("subscribe", payload)
    data = client.event("error")
    assert re.match(r"^[a-z][a-z0-9_]*$", data["code"]) and data["error"] and ISO.match(data["timestamp"])
    if payload is not None:  # `call` cannot send None
        ack = client.ask("subscribe", payload)
        for one in ack if isinstance(ack, list) else [ack]:
            assert one["ok"] is False and one["code"] and one["error"]
    subscribe(client, session)
    gateway.publish(f"session:{session}", "completed", {})
    client.event("completed")


def test_two_thousand_events_back_to_back_arrive_whole(open_client, gateway):
    client, session = open_client(), fresh()
    subscribe(client, session)
    entries = [{"topic": f"session:{session}", "name": "model_result", "data": {"n": n, "text": "x" * 150}} for n in range(2000)]
    for at in range(0, 2000, 500):
        gateway.batch(entries[at : at + 500])
    with client.changed:
        client.changed.wait_for(lambda: len(client.payloads("model_result")) >= 2000, 20)
    arrived = sorted(client.sequence())
    missing = sorted(set(range(1, 2001)) - set(arrived))
    # python-engineio gives up on a polling answer of more than 16 packets
    assert len(arrived) == 2000 and not missing, f"{len(arrived)} arrived, {len(missing)} are missing, the first of them {missing[:3]}"


def test_a_producer_gets_receipts_and_problems(open_client, gateway):
    producer, client, session = open_client(namespace="/producers"), open_client(), fresh()
    subscribe(client, session)
    receipt = producer.ask("publish", {"topic": f"session:{session}", "name": "progress", "data": {"progress": 9}})
    assert receipt["seq"] == 1 and receipt["subscribers"] == 1
    assert client.event("progress")["progress"] == 9
    for bad in ["text", {"topic": "nokind", "name": "progress", "data": {}}, {"topic": f"session:{session}", "name": "connect", "data": {}}]:
        problem = producer.ask("publish", bad)
        assert "seq" not in problem and problem["code"]
