"""One installation for the suite; tests that kill it get one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client
from tests.parts import stack as stack_part


@pytest.fixture(scope="session")
def stack() -> Iterator[stack_part.Stack]:
    """A running installation."""
    with stack_part.running() as running:
        yield running


@pytest.fixture
def client(stack: stack_part.Stack) -> Iterator[Client]:
    """The SDK on it."""
    with stack.client() as client:
        yield client
