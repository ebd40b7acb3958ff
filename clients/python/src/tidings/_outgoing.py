"""Events on their way to the gateway: what waits, what goes into a request, what an answer means. Nothing here waits."""

from __future__ import annotations

import base64
import json
import time
import uuid
from asyncio import Future
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tidings._events import Class, Receipt
from tidings._gateway import is_passing, refused
from tidings._refusals import QueueFull

#: Most bytes of one request, well below the gateway's bound.
BYTES_MAX = 4 << 20


@dataclass(slots=True)
class Waiting:
    """An event that has no receipt yet."""

    body: str
    until: float
    receipts: list[Future[Receipt]]
    state: tuple[str, str, str | None] | None = None
    """Which state it is, if only the newest of it need be sent."""

    def succeed(self, receipt: Receipt) -> None:
        """It has one now."""
        for future in self.receipts:
            if not future.done():
                future.set_result(receipt)

    def fail(self, error: Exception) -> None:
        """It never will."""
        for future in self.receipts:
            if not future.done():
                future.set_exception(error)


def entry(
    topic: str,
    name: str,
    data: Any,
    *,
    cls: Class | None = None,
    key: str | None = None,
    terminal: bool | None = None,
    attempt: int | None = None,
    idempotency_key: str | None = None,
) -> str:
    """An entry of a batch. Without an idempotency key it gets one of its own."""
    fields: dict[str, Any] = {
        "topic": topic,
        "name": name,
        "class": cls,
        "key": key,
        "terminal": terminal,
        "attempt": attempt,
        "idempotency_key": idempotency_key or uuid.uuid4().hex,
    }
    fields = {field: value for field, value in fields.items() if value is not None}
    if isinstance(data, bytes | bytearray):
        fields["data_base64"] = base64.b64encode(data).decode()
    else:
        fields["data"] = {} if data is None else data
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(slots=True)
class Outgoing:
    """What waits, in order."""

    batch_max: int
    queue_max: int
    patience: float
    waiting: deque[Waiting] = field(default_factory=deque[Waiting])

    def add(self, body: str, receipt: Future[Receipt], state: tuple[str, str, str | None] | None = None) -> None:
        """Puts an event at the end. A state that waits already makes room for its newer self."""
        receipts = [receipt]
        if state is not None:
            older = next((one for one in self.waiting if one.state == state), None)
            if older is not None:
                self.waiting.remove(older)
                receipts = [*older.receipts, receipt]
        if len(self.waiting) >= self.queue_max:
            raise QueueFull(self.queue_max)
        self.waiting.append(Waiting(body, time.monotonic() + self.patience, receipts, state))

    def take(self) -> list[Waiting]:
        """What goes into the next request."""
        batch: list[Waiting] = []
        size = 0
        while self.waiting and len(batch) < self.batch_max:
            size += len(self.waiting[0].body)
            if batch and size > BYTES_MAX:
                break
            batch.append(self.waiting.popleft())
        return batch

    def answered(self, batch: Sequence[Waiting], answers: Sequence[dict[str, Any]]) -> Exception | None:
        """Each entry has its receipt or its problem. Returns a passing problem, if there was one."""
        passing: Exception | None = None
        again: list[Waiting] = []
        for one, answer in zip(batch, answers, strict=True):
            if "seq" in answer:
                one.succeed(Receipt.read(answer))
            else:
                error = refused(answer, int(answer.get("status", 0)))
                if self._is_kept(one, error):
                    again.append(one)
                    passing = error
        self.waiting.extendleft(reversed(again))
        return passing

    def failed(self, batch: Sequence[Waiting], error: Exception) -> Exception | None:
        """The whole request failed. Returns the error if it is worth another try."""
        if getattr(error, "status", 0) == 413 and len(batch) > 1:
            self.batch_max = len(batch) // 2
            self.waiting.extendleft(reversed(batch))
            return None
        again = [one for one in batch if self._is_kept(one, error)]
        self.waiting.extendleft(reversed(again))
        return error if again else None

    def _is_kept(self, one: Waiting, error: Exception) -> bool:
        if is_passing(error) and time.monotonic() < one.until:
            return True
        one.fail(error)
        return False
