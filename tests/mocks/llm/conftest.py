"""A served mock of language models, and the real SDKs in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaosbot.mocks.llm import LlmApi
from tests.support.models import Models


@pytest.fixture
def models(request: pytest.FixtureRequest) -> Iterator[Models]:
    """The mock; `indirect` parametrization gives its options."""
    made = Models(LlmApi(**getattr(request, "param", {})))
    with made.server:
        yield made


@pytest.fixture(scope="module")
def plain() -> Iterator[Models]:
    """The mock as it is by default, once for all tests of a file."""
    made = Models(LlmApi())
    with made.server:
        yield made
