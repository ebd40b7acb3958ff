"""What goes over the wire, as Python objects."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Literal, cast

Class = Literal["state", "fact", "terminal"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The log holds the event."""

    topic: str
    seq: int
    """The event's number in the topic, from 1."""
    epoch: str
    """The incarnation of the log."""
    id: str
    timestamp: str
    subscribers: int
    """Subscribers on the gateway's node at the time."""

    @property
    def cursor(self) -> str:
        """Where the event stands; hand it to `since` to go on after it."""
        return f"{self.epoch}:{self.seq}"

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Receipt:
        """From the gateway's JSON; fields of a newer gateway are left out."""
        return cls(**{name: answer[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question."""

    clarification_id: str
    response: Any
    answered_at: str
    answered_by: str
    """Who answered; `default` if nobody did in time."""

    @classmethod
    def read(cls, answer: dict[str, Any]) -> Answer:
        """From the gateway's JSON."""
        return cls(answer["clarificationId"], answer["response"], answer["answeredAt"], answer["answeredBy"])


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a topic.

    One named `gap` is the gateway's: what was missed is gone, `data` says between which cursors, and a snapshot follows.
    """

    topic: str
    name: str
    data: Any
    """The payload; bytes if it was published as bytes."""
    cursor: str | None
    """Where it stands; hand it to `since` to go on after it. Nothing for a gap."""
    replayed: bool
    """It is not live: it is part of a snapshot or was missed."""
    timestamp: str | None = None
    cls: Class | None = None
    key: str | None = None
    attempt: int | None = None

    @property
    def seq(self) -> int | None:
        """Its number in the topic."""
        return None if self.cursor is None else int(self.cursor.rpartition(":")[2])

    @classmethod
    def read(cls, envelope: dict[str, Any], *, replayed: bool) -> Event:
        """From an envelope."""
        data = envelope.get("data")
        if "data_base64" in envelope:
            data = base64.b64decode(envelope["data_base64"])
        if isinstance(data, dict):
            replayed = replayed or cast("dict[str, Any]", data).get("_replayed") is True
        return cls(
            topic=envelope["topic"],
            name=envelope["name"],
            data=data,
            cursor=f"{envelope['epoch']}:{envelope['seq']}",
            replayed=replayed,
            timestamp=envelope.get("timestamp"),
            cls=envelope.get("class"),
            key=envelope.get("key"),
            attempt=envelope.get("attempt"),
        )
