"""One live site for all tests of this folder; `played` has had the main job played on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live.site import LiveSite


@pytest.fixture(scope="package")
def live_site() -> Iterator[LiveSite]:
    """The whole site in its own processes; its logs are shown when a test failed."""
    site = LiveSite()
    try:
        site.start()
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="package")
def played(live_site: LiveSite) -> LiveSite:
    """The site after `openclaw demo`: plugins published and installed, endpoints, a skill, people of every role."""
    live_site.told = live_site.demo()
    return live_site
