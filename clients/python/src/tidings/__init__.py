"""Publish and follow the progress of jobs and sessions through a tidings gateway.

Everything here is for asyncio; `tidings.sync` has the same names for code without it.
"""

from tidings._bar import stream
from tidings._events import Answer, Event, Receipt
from tidings._job import Job
from tidings._producer import Producer
from tidings._refusals import Cancelled, QueueFull, Refused, Unanswered
from tidings._session import Session
from tidings._subscribe import subscribe

__all__ = [
    "Answer",
    "Cancelled",
    "Event",
    "Job",
    "Producer",
    "QueueFull",
    "Receipt",
    "Refused",
    "Session",
    "Unanswered",
    "stream",
    "subscribe",
]
