"""A real gateway for the whole run, and a line to it that can be cut."""

import pathlib
import sys
from collections.abc import Iterator

import pytest

# How the binary is started is known beside the tests of the stock clients.
sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "tests" / "clients" / "python"))

from gateway import Gateway  # noqa: E402
from line import Line  # noqa: E402


@pytest.fixture(scope="session")
def gateway() -> Iterator[Gateway]:
    running = Gateway()
    yield running
    assert running.stop() == 0, "".join(running.lines)


@pytest.fixture(autouse=True)
def address(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address that everything takes that is not told another."""
    monkeypatch.setenv("TIDINGS_URL", gateway.url)
    return gateway.url


@pytest.fixture
def line(gateway: Gateway) -> Iterator[Line]:
    made = Line(gateway.url)
    yield made
    made.stop()
