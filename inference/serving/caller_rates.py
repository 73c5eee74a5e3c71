"""How often callers come who are identified from memory: counted beside the answer, judged twice a second.

A request costs an addition on its caller, without a lock; the first since the last judgement also notes the caller.
A caller whose rate has become unusual (`governance.access.rates`) is somebody we are less sure of from then on: its
signals say so, and what was decided about it before is asked again, a second after the fact at the latest.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from governance.access.rates import RateWatch, account_of, watch

if TYPE_CHECKING:
    from inference.serving.lookups import Caller

JUDGE_S = 0.5


class CallerRates:
    """Counts the requests of callers. Belongs to one event loop."""

    def __init__(self, rates: RateWatch = watch) -> None:
        self._rates = rates
        self._seen: list[Caller] = []

    def count(self, caller: Caller) -> None:
        """Count one request."""
        if not caller.uncounted:
            self._note(caller)
        caller.uncounted += 1

    def judge(self) -> None:
        """Tell the watch what was counted, and what it says the callers."""
        seen, self._seen = self._seen, []
        for caller in seen:
            requests, caller.uncounted = caller.uncounted, 0
            principal = caller.principal
            flagged_at = self._rates.note(account_of(principal), requests)
            unusual = flagged_at > principal.signals.factor_at
            if unusual != principal.signals.unusual_rate:
                caller.principal = replace(
                    principal, signals=replace(principal.signals, unusual_rate=unusual)
                )
                caller.decisions.clear()

    def _note(self, caller: Caller) -> None:
        if not self._seen:
            asyncio.get_running_loop().call_later(JUDGE_S, self.judge)
        self._seen.append(caller)
