"""The examples run, with FastAPI and with a Celery worker."""

import asyncio
import threading

import httpx
import pytest
from celery.contrib.testing.worker import start_worker
from gateway import Gateway, eventually, fresh

from examples import celery_app, fastapi_app
from tidings import sync


async def post(path: str, body: object) -> httpx.Response:
    """One request to the application, which starts for it and ends after it."""
    transport = httpx.ASGITransport(fastapi_app.app)
    async with (
        fastapi_app.app.router.lifespan_context(fastapi_app.app),
        httpx.AsyncClient(transport=transport, base_url="http://app", timeout=60) as client,
    ):
        return await client.post(path, json=body)


def test_fastapi_tells_how_far_it_is_and_asks(gateway: Gateway):
    def answer() -> None:
        def asked():
            topics = gateway.http("GET", "/v1/topics?kind=session&limit=1000")[1]["topics"]
            for topic in topics:
                session = topic["topic"].removeprefix("session:")
                questions = gateway.http("GET", f"/api/wizard/clarifications/{session}")[1]["data"]["clarifications"]
                for question in questions:
                    if question["question"] == "Keep the document?":
                        return {"sessionId": session, "clarificationId": question["id"], "response": False}
            return None

        assert gateway.http("POST", "/api/wizard/clarifications/respond", eventually(asked))[0] == 200

    answering = threading.Thread(target=answer)
    answering.start()
    accepted = asyncio.run(post("/documents", {"pages": ["one", "two words"]}))
    answering.join()
    assert accepted.status_code == 202
    *_, last = sync.subscribe(accepted.json()["topic"], until=["completed"])
    assert last.data["result"] == {"words": 3, "kept": False}


def test_a_celery_worker_tells_how_far_it_is():
    session = fresh()
    with start_worker(celery_app.app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        celery_app.analyse.delay(session, ["one", "two words"])
        events = list(sync.subscribe(f"session:{session}", until=["completed"]))
    assert [event.data["result"] for event in events if event.name == "model_result"] == [
        {"page": 1, "words": 1},
        {"page": 2, "words": 2},
    ]
    assert events[-1].data["result"] == {"words": 3}


def test_a_task_that_fails_ends_the_session(gateway: Gateway):
    session = fresh()
    with pytest.raises(ValueError):
        celery_app.analyse.apply(args=(session, [""])).get()
    status = gateway.http("GET", f"/api/wizard/status/{session}")[1]["data"]
    assert (status["status"], status["error"]) == ("FAILED", "ValueError: there is nothing to count")
