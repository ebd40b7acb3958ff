"""An existing progress bar, streamed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

from tidings import _portal
from tidings._gateway import Token
from tidings._producer import Producer


#: A bar that does not say when it draws is streamed no more often than this, in seconds.
INTERVAL = 0.1
#: How long the end of a bar may wait for a gateway that is away, in seconds.
PATIENCE = 5.0


class Bar(Protocol):
    """What is asked of a bar: tqdm's own, its notebook's, or anything that is like them."""

    n: Any
    total: Any
    desc: Any
    unit: Any
    disable: bool
    update: Callable[..., Any]
    close: Callable[..., Any]

    def __iter__(self) -> Iterator[Any]: ...


B = TypeVar("B", bound=Bar)


def stream(bar: B, topic: str, *, url: str | None = None, token: Token | None = None, api_key: str | None = None) -> B:
    """Streams a tqdm bar to a topic as `progress` and returns it: `for item in stream(tqdm(items), "session:abc"): ...`.

    It is told as often as the bar is drawn (`mininterval`), and the work never waits for the gateway: what cannot be sent
    for now makes room for what is newer. Only the end waits, for a few seconds at most. A bar with `disable=True` says
    nothing of its progress, so it is not streamed.
    """
    producer = _portal.call(lambda: Producer(url, token=token, api_key=api_key, patience=PATIENCE))
    update, close = bar.update, bar.close
    is_closed, told_at = False, 0.0

    def tell() -> None:
        nonlocal told_at
        told_at = time.monotonic()
        n, total = float(bar.n), bar.total
        data: dict[str, Any] = {"status": "PROCESSING", "current": bar.n, "total": total, "unit": bar.unit}
        if total:
            data["progress"] = min(100.0, round(100 * n / total, 2))
        if bar.desc:
            data["message"] = str(bar.desc).removesuffix(": ")
        _portal.start(_submit(producer, topic, data))

    def updated(*args: Any, **more: Any) -> Any:
        drawn = update(*args, **more)
        # tqdm tells with True that it has drawn; others tell nothing.
        if not is_closed and (drawn or time.monotonic() - told_at >= INTERVAL):
            tell()
        return drawn

    def closed(*args: Any, **more: Any) -> Any:
        nonlocal is_closed
        if not is_closed:
            is_closed = True
            tell()
            _portal.run(_finish(producer))
        return close(*args, **more)

    bar.update, bar.close = updated, closed
    return bar


async def _submit(producer: Producer, topic: str, data: dict[str, Any]) -> None:
    # Whether it arrived is of no consequence to the work.
    producer.submit(topic, "progress", data, newest=True).add_done_callback(lambda done: done.cancelled() or done.exception())


async def _finish(producer: Producer) -> None:
    await producer.close()
