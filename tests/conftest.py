"""Fixtures that several tiers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.services import Services, running_services


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """Real PostgreSQL and Kafka, started once a session."""
    with running_services() as found:
        yield found
