"""Publishing: in batches, in order, each event once."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import httpx

from tidings._events import Answer, Class, Receipt
from tidings._gateway import TIMEOUT, Access, Token, is_passing, patience, refusal
from tidings._outgoing import Outgoing, entry

#: How long one long-poll waits at the gateway, in seconds.
WAIT = 30


class Producer:
    """Publishes events to a gateway.

    What is published at the same time travels together, in order. Each event has an idempotency key, so that it is in the
    log once although it may be sent again: while the gateway is away or refuses for now it is tried again, for
    `patience` seconds. (Of a batch that is refused in part, the refused come later.)
    """

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
        self._access = Access(url, token, api_key)
        self._linger = linger
        self._outgoing = Outgoing(batch_max, queue_max, patience)
        self._http = httpx.AsyncClient(timeout=TIMEOUT)
        self._sending: asyncio.Task[None] | None = None
        self._is_closed = False

    async def publish(
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
        """Publishes an event and returns when the gateway's log holds it. Bytes are published as bytes.

        Raises `Refused`, or what httpx raises when the gateway stayed away.
        """
        body = entry(
            topic, name, data, cls=cls, key=key, terminal=terminal, attempt=attempt, idempotency_key=idempotency_key
        )
        return await self._submit(body)

    def submit(
        self,
        topic: str,
        name: str,
        data: Any = None,
        *,
        key: str | None = None,
        attempt: int | None = None,
        newest: bool = False,
    ) -> asyncio.Future[Receipt]:
        """Publishes an event without waiting: the receipt comes by the future. With `newest`, one of this topic, name and
        key that still waits makes room for it, as for a state of which only the newest counts."""
        state = (topic, name, key) if newest else None
        return self._submit(entry(topic, name, data, key=key, attempt=attempt), state)

    def _submit(self, body: str, state: tuple[str, str, str | None] | None = None) -> asyncio.Future[Receipt]:
        if self._is_closed:
            raise RuntimeError("the producer was closed")
        receipt: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._outgoing.add(body, receipt, state)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return receipt

    async def _send(self) -> None:
        await asyncio.sleep(self._linger)
        attempt = 0
        while batch := self._outgoing.take():
            try:
                body = f"[{','.join(one.body for one in batch)}]"
                headers = {"content-type": "application/json", **self._access.headers()}
                response = await self._http.post(self._access.path("v1", "events"), content=body, headers=headers)
                if response.is_error:
                    raise refusal(response)
                passing = self._outgoing.answered(batch, response.json())
            except asyncio.CancelledError:
                for one in batch:
                    one.fail(RuntimeError("the producer was closed"))
                raise
            except Exception as error:
                passing = self._outgoing.failed(batch, error)
            if passing is not None:
                await asyncio.sleep(patience(attempt, passing))
            attempt = 0 if passing is None else attempt + 1

    async def ask(
        self,
        session: str,
        question: str,
        *,
        context: Any = None,
        schema: Any = None,
        default: Any = None,
        expires_in: float | None = None,
    ) -> Answer:
        """Asks the users of a session and waits for the answer.

        `schema` is a JSON Schema that the answer must fit; `default` is taken when nobody has answered after `expires_in`
        seconds, and without it `Unanswered` is raised then.
        """
        topic, clarification = f"session:{session}", uuid.uuid4().hex
        fields: dict[str, Any] = {"question": question, "context": context, "schema": schema, "default": default}
        if expires_in is not None:
            fields["expiresAt"] = (datetime.now(UTC) + timedelta(seconds=expires_in)).isoformat()
        data = {name: value for name, value in fields.items() if value is not None}
        await self.publish(topic, "clarification", {"clarificationId": clarification, **data})
        return await self._answer(topic, clarification)

    async def _answer(self, topic: str, clarification: str) -> Answer:
        path = ("v1", "topics", topic, "clarifications", clarification, "answer")
        while True:
            response = await self.request("GET", *path, params={"wait": f"{WAIT}s"}, timeout=WAIT + 30)
            if response.status_code == 200:
                return Answer.read(response.json())

    async def request(
        self,
        method: str,
        *path: str,
        body: Any = None,
        params: dict[str, Any] | None = None,
        timeout: float = 30,
        patient: bool = True,
    ) -> httpx.Response:
        """Any exchange with the gateway: `request("GET", "v1", "topics")`. A POST has an idempotency key; while the gateway
        is away or refuses for now it is tried again, for ever unless `patient` is false. Raises `Refused`."""
        key = {"idempotency-key": uuid.uuid4().hex} if method == "POST" else {}
        attempt = 0
        while True:
            try:
                headers = {**key, **self._access.headers()}
                response = await self._http.request(
                    method, self._access.path(*path), json=body, params=params, headers=headers, timeout=timeout
                )
                if response.is_error:
                    raise refusal(response)
                return response
            except Exception as error:
                if not patient or not is_passing(error):
                    raise
                await asyncio.sleep(patience(attempt, error))
                attempt += 1

    async def flush(self) -> None:
        """Returns when everything published so far has its receipt or its refusal."""
        while self._sending is not None and not self._sending.done():
            await asyncio.shield(self._sending)

    async def close(self) -> None:
        """Sends what waits, then takes nothing more."""
        await self.flush()
        self._is_closed = True
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
