"""A service that works on documents in the background and tells how far it is.

    uvicorn examples.fastapi_app:app

    curl http://127.0.0.1:8000/documents -H 'Content-Type: application/json' -d '{"pages": ["one", "two words"]}'

The answer names the topic; follow it with `tidings watch`, a browser, or `tidings.subscribe`. The gateway is where
`TIDINGS_URL` says.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import BackgroundTasks, FastAPI
from pydantic import BaseModel

from tidings import Producer, Session


class Document(BaseModel):
    """What is to be worked on."""

    pages: list[str]


class Accepted(BaseModel):
    """Where to follow the work."""

    session: str
    topic: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """One producer for all requests: what they publish at the same time travels together."""
    async with Producer() as producer:
        app.state.producer = producer
        yield


app = FastAPI(lifespan=lifespan)


async def analyse(session_id: str, document: Document) -> None:
    """The work."""
    async with Session(session_id, producer=app.state.producer) as session:
        words = 0
        for number, page in enumerate(document.pages, 1):
            words += len(page.split())
            await session.model_result("counter", {"page": number, "words": len(page.split())})
            await session.progress(100 * number / len(document.pages), message=f"page {number}")
        is_kept = await session.ask(
            "Keep the document?", context={"words": words}, schema={"type": "boolean"}, default=True, expires_in=20
        )
        await session.complete({"words": words, "kept": is_kept})


@app.post("/documents", status_code=202)
async def submit(document: Document, background: BackgroundTasks) -> Accepted:
    """Takes a document and answers at once."""
    session_id = uuid4().hex
    background.add_task(analyse, session_id, document)
    return Accepted(session=session_id, topic=f"session:{session_id}")
