"""Following a topic, over lines of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Generator
from contextlib import aclosing
from typing import Any

import httpx

from tidings._events import Event
from tidings._feed import Feed
from tidings._gateway import TIMEOUT, Access, Token, is_passing, patience, refusal

#: A stream that has said nothing for so long is dead: the gateway breaks silence every 15 s by default.
STREAM_TIMEOUT = httpx.Timeout(30.0, connect=10.0, read=45.0)


async def subscribe(
    topic: str,
    *,
    url: str | None = None,
    token: Token | None = None,
    since: str | None = None,
    until: Collection[str] = (),
) -> AsyncGenerator[Event, None]:
    """Follows a topic: first the snapshot, or with `since` what came after that cursor; then what happens.

    It goes on after lost connections, each event once and in order. What cannot be had any more is announced by an event
    named `gap`, and the snapshot follows. Ends after an event of a name in `until`; else it goes on until it is closed
    (`contextlib.aclosing`). Raises `Refused` when the gateway refuses for good.
    """
    follower = _Follower(topic, Access(url, token), since)
    async with httpx.AsyncClient(timeout=TIMEOUT) as http:
        while True:
            try:
                if follower.feed.cursor is None:
                    for event in follower.join(await http.get(follower.topic_path, headers=follower.headers())):
                        yield event
                        if event.name in until:
                            return
                async with aclosing(_lines(http, follower)) as lines:
                    async for line in lines:
                        if event := follower.take(line):
                            yield event
                            if event.name in until:
                                return
                        if follower.has_gap:
                            break
            except Exception as error:
                pause = follower.failed(error)
            else:
                pause = follower.ended()
            await asyncio.sleep(pause)


async def _lines(http: httpx.AsyncClient, follower: _Follower) -> AsyncGenerator[str, None]:
    async with http.stream("GET", follower.events_path, **follower.request()) as response:
        if response.is_error:
            await response.aread()
            raise refusal(response)
        async for line in response.aiter_lines():
            yield line


class _Follower:
    """What is decided between the waits."""

    def __init__(self, topic: str, access: Access, since: str | None):
        self.feed = Feed(topic, since)
        self._access = access
        self._attempt = 0
        self.topic_path = access.path("v1", "topics", topic)
        self.events_path = access.path("v1", "topics", topic, "events")
        self.has_gap = False

    def headers(self) -> dict[str, str]:
        return self._access.headers()

    def request(self) -> dict[str, Any]:
        self.has_gap = False
        params = {} if self.feed.cursor is None else {"since": self.feed.cursor}
        headers = {"accept": "application/x-ndjson", **self.headers()}
        return {"params": params, "headers": headers, "timeout": STREAM_TIMEOUT}

    def join(self, response: httpx.Response) -> Generator[Event, None, None]:
        """The snapshot; a topic that is not there yet has an empty one."""
        if response.is_error:
            error = refusal(response)
            if error.code == "topic_unknown":
                return
            raise error
        snapshot = response.json()
        for event in self.feed.snapshot(snapshot):
            self.feed.cursor = event.cursor
            yield event
        self.feed.cursor = snapshot["cursor"]

    def take(self, line: str) -> Event | None:
        self._attempt = 0
        event = self.feed.line(line)
        self.has_gap = event is not None and event.cursor is None
        return event

    def failed(self, error: Exception) -> float:
        """How long to wait; raises what will not pass."""
        if not is_passing(error):
            raise error
        self._attempt += 1
        return patience(self._attempt, error)

    def ended(self) -> float:
        """The stream ended well: for a gap go on at once."""
        if self.has_gap:
            return 0.0
        self._attempt += 1
        return patience(self._attempt)
