"""What happens with a published plugin: installed, served, measured, rolled back, and watched."""

from __future__ import annotations

from openclaw_site.demo.journey import Cast, Publishing
from openclaw_site.demo.steps import Report
from openclaw_site.demo.world import World


class Usage:
    """From the catalogue to measured traffic in the tenant."""

    def __init__(self, world: World, report: Report, cast: Cast, publishing: Publishing) -> None:
        self.world, self.report, self.cast, self.publishing = world, report, cast, publishing

    def play(self) -> None:
        """Every step in the tenant."""
