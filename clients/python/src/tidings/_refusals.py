"""When the gateway says no."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """The gateway refused. `code` is for programs; the text says what to do."""

    def __init__(self, code: str, text: str, status: int = 0, retry_after: float = 0.0, body: dict[str, Any] | None = None):
        super().__init__(text)
        self.code = code
        """The reason, from a closed set: `topic_invalid`, `clarification_answered`, ..."""
        self.status = status
        """The HTTP status."""
        self.retry_after = retry_after
        """After how many seconds it is worth another try."""
        self.body = body or {}
        """Everything the gateway said."""


class QueueFull(Refused):
    """More events wait than `queue_max` allows: await their receipts to keep pace."""

    def __init__(self, queue_max: int):
        super().__init__("queue_full", f"{queue_max} events wait already: await receipts, or raise queue_max")


class Unanswered(Refused):
    """A question expired without an answer and had no default."""


class Cancelled(Exception):
    """Somebody wants the job to be given up."""

    def __init__(self, reason: str | None = None):
        super().__init__(reason or "the job is to be cancelled")
        self.reason = reason
        """Why, if it was said."""
