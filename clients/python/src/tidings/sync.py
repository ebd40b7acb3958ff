"""The names of `tidings` for code without asyncio: `with Session("abc") as session: ...`.

They may be used from any thread. One thread of their own does the sending; a process that forks gets a new one.
"""

from __future__ import annotations

import concurrent.futures
from types import TracebackType
from typing import Any, Literal, Self

from tidings import _portal
from tidings._bar import stream
from tidings._events import Answer, Class, Event, Receipt
from tidings._gateway import Token
from tidings._job import Job as AsyncJob
from tidings._producer import Producer as AsyncProducer
from tidings._refusals import Cancelled, QueueFull, Refused, Unanswered
from tidings._session import Session as AsyncSession
from tidings._session import Status
from tidings._subscribe import subscribe_sync as subscribe

__all__ = [
    "Answer",
    "Cancelled",
    "Event",
    "Job",
    "Producer",
    "QueueFull",
    "Receipt",
    "Refused",
    "Session",
    "Unanswered",
    "stream",
    "subscribe",
]


class Producer:
    """As `tidings.Producer`."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: Token | None = None,
        api_key: str | None = None,
        linger: float = 0.002,
        batch_max: int = 500,
        queue_max: int = 10_000,
        patience: float = 60.0,
    ):
        self._inner = _portal.call(
            lambda: AsyncProducer(
                url,
                token=token,
                api_key=api_key,
                linger=linger,
                batch_max=batch_max,
                queue_max=queue_max,
                patience=patience,
            )
        )

    def publish(
        self,
        topic: str,
        name: str,
        data: Any = None,
        *,
        cls: Class | None = None,
        key: str | None = None,
        terminal: bool | None = None,
        attempt: int | None = None,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """As `tidings.Producer.publish`."""
        return _portal.run(
            self._inner.publish(
                topic,
                name,
                data,
                cls=cls,
                key=key,
                terminal=terminal,
                attempt=attempt,
                idempotency_key=idempotency_key,
            )
        )

    def submit(
        self, topic: str, name: str, data: Any = None, *, key: str | None = None, newest: bool = False
    ) -> concurrent.futures.Future[Receipt]:
        """As `tidings.Producer.submit`."""

        async def submit() -> Receipt:
            return await self._inner.submit(topic, name, data, key=key, newest=newest)

        return _portal.start(submit())

    def ask(
        self,
        session: str,
        question: str,
        *,
        context: Any = None,
        schema: Any = None,
        default: Any = None,
        expires_in: float | None = None,
    ) -> Answer:
        """As `tidings.Producer.ask`."""
        return _portal.run(
            self._inner.ask(session, question, context=context, schema=schema, default=default, expires_in=expires_in)
        )

    def flush(self) -> None:
        """As `tidings.Producer.flush`."""
        _portal.run(self._inner.flush())

    def close(self) -> None:
        """As `tidings.Producer.close`."""
        _portal.run(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Session:
    """As `tidings.Session`: `with Session("abc") as session: ...`."""

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
        shared = producer and producer._inner  # pyright: ignore[reportPrivateUsage]
        self._inner = _portal.call(lambda: AsyncSession(id, url=url, token=token, api_key=api_key, producer=shared))

    def publish(self, name: str, data: Any = None, *, terminal: bool | None = None) -> Receipt:
        """As `tidings.Session.publish`."""
        return _portal.run(self._inner.publish(name, data, terminal=terminal))

    def progress(
        self,
        progress: float,
        status: Status = "PROCESSING",
        *,
        message: str | None = None,
        prompts: dict[str, int] | None = None,
        **more: Any,
    ) -> None:
        """As `tidings.Session.progress`."""
        _portal.run(self._inner.progress(progress, status, message=message, prompts=prompts, **more))

    def model_result(
        self,
        model_name: str,
        result: Any = None,
        *,
        status: Literal["processing", "completed", "failed"] = "completed",
        duration: float | None = None,
        error: str | None = None,
        **more: Any,
    ) -> Receipt:
        """As `tidings.Session.model_result`."""
        return _portal.run(
            self._inner.model_result(model_name, result, status=status, duration=duration, error=error, **more)
        )

    def ask(
        self,
        question: str,
        *,
        context: Any = None,
        schema: Any = None,
        default: Any = None,
        expires_in: float | None = None,
    ) -> Any:
        """As `tidings.Session.ask`."""
        return _portal.run(
            self._inner.ask(question, context=context, schema=schema, default=default, expires_in=expires_in)
        )

    def complete(self, result: Any = None) -> Receipt:
        """As `tidings.Session.complete`."""
        return _portal.run(self._inner.complete(result))

    def fail(self, error: str) -> Receipt:
        """As `tidings.Session.fail`."""
        return _portal.run(self._inner.fail(error))

    def close(self) -> None:
        """As `tidings.Session.close`."""
        _portal.run(self._inner.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _portal.run(self._inner.__aexit__(kind, error, trace))


class Job:
    """As `tidings.Job`: `with Job("42") as job: ...`. A thread cannot be interrupted: when the job is to be given up,
    `progress`, `publish` and `check` raise `Cancelled`."""

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
        shared = producer and producer._inner  # pyright: ignore[reportPrivateUsage]
        self._inner = AsyncJob(
            id,
            name=name,
            type=type,
            metadata=metadata,
            lease=lease,
            retry=retry,
            url=url,
            token=token,
            api_key=api_key,
            producer=shared,
        )

    @property
    def attempt(self) -> int:
        """As `tidings.Job.attempt`."""
        return self._inner.attempt

    def check(self) -> None:
        """As `tidings.Job.check`."""
        self._inner.check()

    def progress(
        self, progress: float, message: str | None = None, *, metadata: dict[str, Any] | None = None, **more: Any
    ) -> None:
        """As `tidings.Job.progress`."""
        _portal.run(self._inner.progress(progress, message, metadata=metadata, **more))

    def publish(self, name: str, data: Any = None) -> Receipt:
        """As `tidings.Job.publish`."""
        self.check()
        return _portal.run(self._inner.publish(name, data))

    def complete(self, message: str | None = None, *, metadata: dict[str, Any] | None = None) -> None:
        """As `tidings.Job.complete`."""
        _portal.run(self._inner.complete(message, metadata=metadata))

    def fail(self, message: str) -> None:
        """As `tidings.Job.fail`."""
        _portal.run(self._inner.fail(message))

    def __enter__(self) -> Self:
        _portal.run(self._inner.begin(None))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _portal.run(self._inner.end(error))
