"""A thread with an event loop, for code without asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _forget() -> None:
    """A forked process has the loop, but not the thread that ran it."""
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)


def loop() -> asyncio.AbstractEventLoop:
    """The loop of this process, which its own thread runs until the process ends."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="tidings", daemon=True).start()
        return _loop


def start(coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
    """Runs a coroutine there."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop())


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine there and waits for it. Whoever is interrupted meanwhile cancels it."""
    future = start(coroutine)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def call(function: Callable[[], T]) -> T:
    """Calls a function there and waits for it."""

    async def calling() -> T:
        return function()

    return run(calling())


class Twin:
    """What does its work by another that lives in the loop."""

    _inner: Any


class blocking(Generic[P, T]):
    """A method of the other, with its parameters and its documentation, that waits until it is done."""

    def __init__(self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]):
        self._name = method.__name__
        self.__doc__ = method.__doc__

    def __get__(self, twin: Twin | None, owner: type[Twin]) -> Callable[P, T]:
        name = self._name

        def waiting(*args: P.args, **kwargs: P.kwargs) -> T:
            return run(getattr(twin._inner, name)(*args, **kwargs))  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]

        waiting.__name__, waiting.__doc__ = name, self.__doc__
        return waiting
