"""A Celery worker that tells how far it is.

    celery --app examples.celery_app worker

    python -c 'from examples.celery_app import analyse; analyse.delay("abc", ["one", "two words"])'

Follow `session:abc` with `tidings watch`, a browser, or `tidings.sync.subscribe`. The gateway is where `TIDINGS_URL` says,
the broker where `CELERY_BROKER` says.
"""

import os
from typing import Any

from celery import Celery
from tidings.sync import Session

app = Celery("documents", broker=os.environ.get("CELERY_BROKER", "memory://"), backend="cache+memory://")


@app.task  # pyright: ignore[reportUnknownMemberType]
def analyse(session_id: str, pages: list[str]) -> dict[str, Any]:
    """Counts words. An exception ends the session as failed, and the task too."""
    with Session(session_id) as session:
        words = 0
        for number, page in enumerate(pages, 1):
            words += len(page.split())
            session.model_result("counter", {"page": number, "words": len(page.split())})
            session.progress(100 * number / len(pages), message=f"page {number}")
        if not words:
            raise ValueError("there is nothing to count")
        result = {"words": words}
        session.complete(result)
        return result
