"""One topic on its way to one reader: each event once and in order, or a gap. Nothing here waits."""

from __future__ import annotations

import json
from typing import Any

from tidings._events import Event


class Feed:
    """Where a reader is, and what of that which comes is new to it."""

    def __init__(self, topic: str, since: str | None):
        self.topic = topic
        self.cursor = since
        """Where to go on; nothing if the snapshot comes first."""

    def snapshot(self, snapshot: dict[str, Any]) -> list[Event]:
        """The events of a snapshot, in the order of the log; then the reader goes on at its cursor."""
        terminal = snapshot["terminal"]
        envelopes = [*snapshot["state"], *snapshot["facts"], *snapshot["clarifications"], *([terminal] if terminal else [])]
        envelopes.sort(key=lambda envelope: envelope["seq"])
        return [Event.read(envelope, replayed=True) for envelope in envelopes]

    def line(self, line: str) -> Event | None:
        """The event of a line of a stream, if it is new. After a `gap` the snapshot is to be read anew."""
        if not line.strip():
            return None
        envelope: dict[str, Any] = json.loads(line)
        if "seq" not in envelope:
            self.cursor = None
            return Event(self.topic, "gap", envelope["data"], None, replayed=False)
        epoch, seq = envelope["epoch"], envelope["seq"]
        if self.cursor is not None:
            known, _, last = self.cursor.rpartition(":")
            if known == epoch and seq <= int(last):
                return None
        self.cursor = f"{epoch}:{seq}"
        return Event.read(envelope, replayed=False)
