"""One site of several processes for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.revocation.harness import House, Processes
from tests.services import TestServices


@pytest.fixture(scope="package")
def processes(services: TestServices, django_db_setup: None) -> Iterator[Processes]:
    """Two web processes and a worker."""
    site = Processes(services)
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture
def house(processes: Processes, transactional_db: None) -> House:
    """A tenant with endpoints."""
    return House(processes)
