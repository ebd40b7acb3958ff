"""Where the gateway is, who asks, and how its refusals are read."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote

import httpx

from tidings._refusals import Refused, Unanswered

DEFAULT_URL = "http://127.0.0.1:3000"

#: How long an exchange may take; streams and long-polls have limits of their own.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)

Token = str | Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Access:
    """A gateway, and a way in."""

    url: str | None = None
    """Its address; without it `TIDINGS_URL`, else `http://127.0.0.1:3000`."""
    token: Token | None = None
    """A bearer token, or a function that gets a fresh one."""
    api_key: str | None = None
    """An API key of a producer."""

    def path(self, *parts: str) -> str:
        """The address of a path."""
        base = (self.url or os.environ.get("TIDINGS_URL") or DEFAULT_URL).rstrip("/")
        return "/".join([base, *(quote(part, safe=":~") for part in parts)])

    def headers(self) -> dict[str, str]:
        """What shows who asks."""
        headers: dict[str, str] = {}
        token = self.token() if callable(self.token) else self.token
        if token:
            headers["authorization"] = f"Bearer {token}"
        if self.api_key:
            headers["x-api-key"] = self.api_key
        return headers


def refusal(response: httpx.Response) -> Refused:
    """The refusal in a response whose body has been read."""
    try:
        parsed: object = response.json()
    except ValueError:
        parsed = None
    body = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    return refused(body, response.status_code, float(response.headers.get("retry-after", 0)))


def refused(body: dict[str, Any], status: int, retry_after: float = 0.0) -> Refused:
    """The refusal that a problem document tells."""
    code = str(body.get("code") or f"http_{status}")
    text = str(body.get("detail") or body.get("error") or code)
    kind = Unanswered if code == "clarification_expired" else Refused
    return kind(code, text, status, retry_after, body)


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later: there was no answer, or one that says so."""
    if not isinstance(error, Refused):
        return isinstance(error, httpx.TransportError)
    return error.status >= 500 or error.status in (408, 429) or error.code == "idempotency_key_in_flight"


def patience(attempt: int, error: Exception | None = None) -> float:
    """How long to wait before try number `attempt` (from 0), in seconds: doubled each time, with jitter."""
    asked = error.retry_after if isinstance(error, Refused) else 0.0
    return max(asked, min(5.0, 0.1 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))
