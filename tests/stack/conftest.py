"""One installation for the suite; tests that kill it get one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from knify.client import Client
from tests.parts import stack as stack_part


@pytest.fixture(scope="session")
def stack() -> Iterator[stack_part.Stack]:
    """A running installation."""
    with stack_part.running(KNIFY_WEBHOOK_ALLOW_PRIVATE="1") as running:
        yield running


@pytest.fixture(scope="module")
def own_stack() -> Iterator[stack_part.Stack]:
    """An installation that one file's tests may hurt; quick to notice it."""
    settings = {"KNIFY_LEASE_SECONDS": "3", "KNIFY_SWEEP_SECONDS": "1", "KNIFY_NODE": "first"}
    with stack_part.running(**settings) as running:
        yield running


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """The SDK on the test's installation."""
    own = "own_stack" in request.fixturenames
    running: stack_part.Stack = request.getfixturevalue("own_stack" if own else "stack")
    with running.client() as client:
        yield client
