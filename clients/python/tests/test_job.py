"""Jobs: started, kept alive, given up, ended; with asyncio and without."""

import asyncio

import pytest
from gateway import Gateway, eventually, fresh

from tidings import Cancelled, Job, Refused, sync


def job_of(gateway: Gateway, id: str) -> dict:
    return gateway.http("GET", f"/v1/jobs/{id}")[1]


def test_a_job_is_created_started_and_completed(gateway: Gateway):
    id = fresh()

    async def work() -> None:
        async with Job(id, name="import", type="files", metadata={"user": "a"}) as job:
            assert job_of(gateway, id)["status"] == "in_progress"
            await job.progress(40, "half way", metadata={"file": "a.pdf"})
            await job.publish("file_completed", {"processed_files": 1, "total_files": 2})

    asyncio.run(work())
    job = job_of(gateway, id)
    assert (job["status"], job["name"], job["type"], job["attempt"]) == ("completed", "import", "files", 1)
    assert job["metadata"]["user"] == "a"


def test_a_job_that_is_known_is_taken_over(gateway: Gateway):
    id = fresh()
    assert gateway.http("POST", "/v1/jobs", {"id": id, "name": "known"})[0] == 201
    with sync.Job(id, name="other") as job:
        job.progress(10)
        job.complete("well")
    known = job_of(gateway, id)
    assert (known["status"], known["name"], known["message"], known["progress"]) == ("completed", "known", "well", 100)


def test_an_exception_fails_the_job_and_retry_begins_anew(gateway: Gateway):
    id = fresh()
    with pytest.raises(ZeroDivisionError), sync.Job(id) as job:
        job.progress(1 / 0)
    assert (job_of(gateway, id)["status"], job_of(gateway, id)["message"]) == ("failed", "ZeroDivisionError: division by zero")
    with pytest.raises(Refused) as refused, sync.Job(id):
        raise AssertionError("the block of a job that has ended is not entered")
    assert (refused.value.code, refused.value.body["state"]) == ("job_state", "failed")
    with sync.Job(id, retry=True) as job:
        assert job.attempt == 2
    assert job_of(gateway, id)["status"] == "completed"


def test_a_block_is_cancelled_when_the_job_is_to_be_given_up(gateway: Gateway):
    id, cleaned = fresh(), []

    async def work() -> None:
        async with Job(id):
            # The wish may reach the block before the answer does.
            try:
                await asyncio.to_thread(gateway.http, "POST", f"/v1/jobs/{id}/cancel", {"reason": "too slow"})
                await asyncio.Event().wait()
            finally:
                cleaned.append(True)

    with pytest.raises(Cancelled, match="too slow") as cancelled:
        asyncio.run(asyncio.wait_for(work(), 30))
    assert cancelled.value.reason == "too slow" and cleaned == [True]
    assert job_of(gateway, id)["status"] == "cancelled"


def test_without_asyncio_the_next_call_tells_that_the_job_is_to_be_given_up(gateway: Gateway):
    id = fresh()
    with pytest.raises(Cancelled), sync.Job(id) as job:
        gateway.http("POST", f"/v1/jobs/{id}/cancel", {})
        while True:
            job.progress(1)
    assert job_of(gateway, id)["status"] == "cancelled"


def test_a_cancelled_task_is_no_cancelled_job(gateway: Gateway):
    id = fresh()

    async def work() -> None:
        async with Job(id, lease=3):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(work())
        await asyncio.to_thread(eventually, lambda: job_of(gateway, id).get("status") == "in_progress")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # Nobody keeps the lease any more.
    eventually(lambda: job_of(gateway, id)["status"] == "failed")


def test_a_lease_is_kept_while_the_block_runs_and_lost_with_the_worker(gateway: Gateway):
    id, other = fresh(), fresh()
    with sync.Job(id, lease=3):
        # A longer lease that nobody keeps runs out meanwhile.
        gateway.http("POST", "/v1/jobs", {"id": other, "lease": "4s"})
        gateway.http("POST", f"/v1/jobs/{other}/started", {})
        eventually(lambda: job_of(gateway, other)["status"] == "failed")
        assert job_of(gateway, id)["status"] == "in_progress"
    assert job_of(gateway, id)["status"] == "completed"


def test_a_worker_of_an_earlier_attempt_is_told(gateway: Gateway):
    id = fresh()

    async def work() -> None:
        async with Job(id):
            def take_away() -> None:
                assert gateway.http("POST", f"/v1/jobs/{id}/failed", {"message": "worker_lost"})[0] == 200
                assert gateway.http("POST", f"/v1/jobs/{id}/retry", {})[0] == 200

            await asyncio.to_thread(take_away)
            await asyncio.Event().wait()

    with pytest.raises(Refused) as refused:
        asyncio.run(asyncio.wait_for(work(), 30))
    assert refused.value.status == 409
    assert (job_of(gateway, id)["status"], job_of(gateway, id)["attempt"]) == ("pending", 2)
