"""The names of `tidings` for code without asyncio: `with Session("abc") as session: ...`.

They may be used from any thread. One thread of their own does the sending; a process that forks gets a new one.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Collection, Generator
from types import TracebackType
from typing import Any, Self

from tidings import _portal
from tidings._bar import stream
from tidings._events import Answer, Event, Receipt
from tidings._gateway import Token
from tidings._job import Job as AsyncJob
from tidings._portal import Twin, blocking
from tidings._producer import Producer as AsyncProducer
from tidings._refusals import Cancelled, QueueFull, Refused, Unanswered
from tidings._session import Session as AsyncSession
from tidings._subscribe import subscribe as follow

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


def subscribe(
    topic: str,
    *,
    url: str | None = None,
    token: Token | None = None,
    since: str | None = None,
    until: Collection[str] = (),
) -> Generator[Event, None, None]:
    """As `tidings.subscribe`."""
    events = follow(topic, url=url, token=token, since=since, until=until)

    async def following() -> Event | None:
        return await anext(events, None)

    try:
        while event := _portal.run(following()):
            yield event
    finally:
        _portal.run(events.aclose())


class Producer(Twin):
    """As `tidings.Producer`."""

    _inner: AsyncProducer

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

    publish = blocking(AsyncProducer.publish)

    def submit(
        self, topic: str, name: str, data: Any = None, *, key: str | None = None, newest: bool = False
    ) -> concurrent.futures.Future[Receipt]:
        """As `tidings.Producer.submit`."""

        async def submit() -> Receipt:
            return await self._inner.submit(topic, name, data, key=key, newest=newest)

        return _portal.start(submit())

    ask = blocking(AsyncProducer.ask)
    flush = blocking(AsyncProducer.flush)
    close = blocking(AsyncProducer.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Session(Twin):
    """As `tidings.Session`: `with Session("abc") as session: ...`."""

    _inner: AsyncSession

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

    publish = blocking(AsyncSession.publish)
    progress = blocking(AsyncSession.progress)
    model_result = blocking(AsyncSession.model_result)
    ask = blocking(AsyncSession.ask)
    complete = blocking(AsyncSession.complete)
    fail = blocking(AsyncSession.fail)
    close = blocking(AsyncSession.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _portal.run(self._inner.__aexit__(kind, error, trace))


class Job(Twin):
    """As `tidings.Job`: `with Job("42") as job: ...`. A thread cannot be interrupted: when the job is to be given up,
    `progress`, `publish` and `check` raise `Cancelled`."""

    _inner: AsyncJob

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

    progress = blocking(AsyncJob.progress)

    def publish(self, name: str, data: Any = None) -> Receipt:
        """As `tidings.Job.publish`. Raises `Cancelled` as well."""
        self.check()
        return _portal.run(self._inner.publish(name, data))

    complete = blocking(AsyncJob.complete)
    fail = blocking(AsyncJob.fail)

    def __enter__(self) -> Self:
        _portal.run(self._inner.begin(None))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _portal.run(self._inner.end(error))
