"""A session, as the worker that does its work sees it."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Literal, Self

from tidings._events import Receipt
from tidings._gateway import Token
from tidings._producer import Producer

Status = Literal["ACTIVE", "PROCESSING", "COMPLETED", "FAILED", "EXPIRED"]


class Session:
    """Tells the story of a session: `async with Session("abc") as session: ...`.

    An exception that leaves the block is told as the session's end (`error`, terminal) and raised on. `url`, `token` and
    `api_key` are as for `Producer`; with `producer` one is shared and not closed.
    """

    def __init__(
        self,
        id: str,
        *,
        url: str | None = None,
        token: Token | None = None,
        api_key: str | None = None,
        producer: Producer | None = None,
    ):
        self.id = id
        self.topic = f"session:{id}"
        self._shared = producer
        self._producer = producer or Producer(url, token=token, api_key=api_key)
        self._late: Exception | None = None

    @property
    def producer(self) -> Producer:
        """What publishes for it."""
        return self._producer

    async def publish(self, name: str, data: Any = None, *, terminal: bool | None = None) -> Receipt:
        """Publishes any event."""
        return await self._producer.publish(self.topic, name, data, terminal=terminal)

    async def progress(
        self,
        progress: float,
        status: Status = "PROCESSING",
        *,
        message: str | None = None,
        prompts: dict[str, int] | None = None,
        **more: Any,
    ) -> None:
        """How far it is, 0 to 100. Does not wait for the receipt: of several that wait only the newest is sent. What went
        wrong is raised by the next call, or when the block is left."""
        self._raise_late()
        fields: dict[str, Any] = {"progress": progress, "status": status, "message": message, "prompts": prompts, **more}
        data = {name: value for name, value in fields.items() if value is not None}
        self._producer.submit(self.topic, "progress", data, newest=True).add_done_callback(self._received)
        # Others get a turn, the one that sends among them.
        await asyncio.sleep(0)

    def _received(self, receipt: asyncio.Future[Receipt]) -> None:
        if not receipt.cancelled() and isinstance(error := receipt.exception(), Exception):
            self._late = error

    def _raise_late(self) -> None:
        late, self._late = self._late, None
        if late is not None:
            raise late

    async def model_result(
        self,
        model_name: str,
        result: Any = None,
        *,
        status: Literal["processing", "completed", "failed"] = "completed",
        duration: float | None = None,
        error: str | None = None,
        **more: Any,
    ) -> Receipt:
        """What one model said; `duration` in milliseconds."""
        fields: dict[str, Any] = {
            "modelName": model_name,
            "result": result,
            "status": status,
            "duration": duration,
            "error": error,
            **more,
        }
        return await self.publish("model_result", {name: value for name, value in fields.items() if value is not None})

    async def ask(
        self,
        question: str,
        *,
        context: Any = None,
        schema: Any = None,
        default: Any = None,
        expires_in: float | None = None,
    ) -> Any:
        """Asks its users and returns what they answer; see `Producer.ask`."""
        answer = await self._producer.ask(
            self.id, question, context=context, schema=schema, default=default, expires_in=expires_in
        )
        return answer.response

    async def complete(self, result: Any = None) -> Receipt:
        """It is done."""
        return await self.publish("completed", {"result": {} if result is None else result})

    async def fail(self, error: str) -> Receipt:
        """It has failed, and is over."""
        return await self.publish("error", {"error": error}, terminal=True)

    async def close(self) -> None:
        """Sends what waits."""
        if self._shared is None:
            await self._producer.close()
        else:
            await self._producer.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, Exception):
            try:
                await self.fail(f"{type(error).__name__}: {error}")
            except Exception as other:
                error.add_note(f"the gateway could not be told: {other}")
        await self.close()
        if error is None:
            self._raise_late()
