"""A job, as the worker that does its work sees it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self, cast

from tidings._events import Receipt
from tidings._gateway import Token
from tidings._producer import WAIT, Producer
from tidings._refusals import Cancelled, Refused


class Job:
    """Works on a job: `async with Job("42") as job: ...`.

    It is created unless it is known, and started; with `retry` one that failed or was cancelled begins anew as its next
    attempt. While the block runs its `lease` (seconds) is kept alive: should the process die, the gateway tells everybody
    `worker_lost` when the lease has run out. When somebody wants the job to be given up, the block is cancelled and leaves
    with `Cancelled`, and the job is told to be. Leaving the block completes the job; an exception fails it.
    """

    def __init__(
        self,
        id: str,
        *,
        name: str | None = None,
        type: str | None = None,
        metadata: dict[str, Any] | None = None,
        lease: float | None = 60.0,
        retry: bool = False,
        url: str | None = None,
        token: Token | None = None,
        api_key: str | None = None,
        producer: Producer | None = None,
    ):
        self.id = id
        self.topic = f"job:{id}"
        self.attempt = 1
        """Which attempt this is; what a worker of an earlier one says is refused."""
        self._new = {"id": id, "name": name, "type": type, "metadata": metadata}
        self._lease = lease
        self._retry = retry
        self._shared = producer
        self._producer = producer or Producer(url, token=token, api_key=api_key)
        self._watching: list[asyncio.Task[None]] = []
        self._working: asyncio.Task[Any] | None = None
        self._stopped: Exception | None = None
        self._is_over = False

    @property
    def producer(self) -> Producer:
        """What publishes for it."""
        return self._producer

    async def _tell(self, what: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        body = {name: value for name, value in {**(fields or {}), "attempt": self.attempt}.items() if value is not None}
        response = await self._producer.request("POST", "v1", "jobs", self.id, what, body=body)
        return cast("dict[str, Any]", response.json())

    async def begin(self, working: asyncio.Task[Any] | None) -> None:
        """Starts it. The task is cancelled when the job is to be given up; without one `check` tells."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        self._working = working
        self._watching = [asyncio.create_task(self._watch_cancel())]
        if self._lease is not None:
            self._watching.append(asyncio.create_task(self._keep_lease(self._lease)))

    async def _start(self) -> None:
        try:
            known = (await self._producer.request("GET", "v1", "jobs", self.id)).json()
        except Refused as refused:
            if refused.status != 404:
                raise
            body = {name: value for name, value in self._new.items() if value is not None}
            known = (await self._producer.request("POST", "v1", "jobs", body=body)).json()
        self.attempt = known["attempt"]
        if self._retry and known["status"] in ("failed", "cancelled"):
            # Which attempt it will be is the gateway's to say.
            self.attempt = (await self._producer.request("POST", "v1", "jobs", self.id, "retry")).json()["attempt"]
        lease = None if self._lease is None else f"{round(self._lease * 1000)}ms"
        await self._tell("started", {"lease": lease})

    async def _watch_cancel(self) -> None:
        params = {"wait": f"{WAIT}s", "attempt": self.attempt}
        try:
            while True:
                response = await self._producer.request("GET", "v1", "jobs", self.id, "cancel", params=params, timeout=WAIT + 30)
                if response.status_code == 200:
                    return self._stop(Cancelled(response.json().get("reason")))
        except Refused as refused:
            self._stop(refused)

    async def _keep_lease(self, lease: float) -> None:
        try:
            while True:
                await asyncio.sleep(lease / 3)
                await self._tell("heartbeat")
        except Refused as refused:
            self._stop(refused)

    def _stop(self, why: Exception) -> None:
        if self._stopped is not None or self._is_over:
            return
        self._stopped = why
        if self._working is not None:
            self._working.cancel()

    def check(self) -> None:
        """Raises `Cancelled` when the job is to be given up, and `Refused` when it is not ours any more."""
        if self._stopped is not None:
            raise self._stopped

    async def progress(
        self, progress: float, message: str | None = None, *, metadata: dict[str, Any] | None = None, **more: Any
    ) -> None:
        """How far it is, 0 to 100. Does not wait for the receipt: of several that wait only the newest is sent."""
        self.check()
        fields: dict[str, Any] = {"progress": progress, "message": message, "metadata": metadata, **more}
        data = {name: value for name, value in fields.items() if value is not None}
        sent = self._producer.submit(self.topic, "progress", data, attempt=self.attempt, newest=True)
        sent.add_done_callback(self._received)
        # Others get a turn, the one that sends among them.
        await asyncio.sleep(0)

    def _received(self, receipt: asyncio.Future[Receipt]) -> None:
        if not receipt.cancelled() and isinstance(error := receipt.exception(), Exception):
            self._stop(error)

    async def publish(self, name: str, data: Any = None) -> Receipt:
        """Publishes any event of it, `file_completed` for instance."""
        return await self._producer.publish(self.topic, name, data, attempt=self.attempt)

    async def complete(self, message: str | None = None, *, metadata: dict[str, Any] | None = None) -> None:
        """It is done."""
        await self._producer.flush()
        self._is_over = True
        await self._tell("completed", {"message": message, "metadata": metadata})

    async def fail(self, message: str) -> None:
        """It has failed, and is over."""
        self._is_over = True
        await self._tell("failed", {"message": message})

    async def end(self, error: BaseException | None) -> None:
        """The block was left. Raises why it was stopped, if it was."""
        for watching in self._watching:
            watching.cancel()
        stopped = self._stopped
        is_ours = stopped is not None and self._working is not None and isinstance(error, asyncio.CancelledError)
        if is_ours and self._working is not None:
            # Another who cancels at the same time is not robbed of it.
            is_ours = self._working.uncancel() == 0
        try:
            await self._told_of(stopped if is_ours else error)
        finally:
            await self.close()
        if is_ours and stopped is not None:
            raise stopped from None

    async def _told_of(self, error: BaseException | None) -> None:
        if self._is_over or (error is self._stopped and isinstance(error, Refused)):
            return
        try:
            if error is None:
                await self.complete()
            elif isinstance(error, Cancelled):
                await self._tell("cancelled", {"message": error.reason})
            elif isinstance(error, Exception):
                await self.fail(f"{type(error).__name__}: {error}")
        except Exception as other:
            if error is None:
                raise
            error.add_note(f"the gateway could not be told: {other}")

    async def close(self) -> None:
        """Sends what waits."""
        await (self._producer.flush() if self._shared else self._producer.close())

    async def __aenter__(self) -> Self:
        await self.begin(asyncio.current_task())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.end(error)
