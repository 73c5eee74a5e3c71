"""The pace of one loaded version, learned from its own runs: what to refuse early, how many rows to put together, and
whether waiting for more of them pays.

A run of r rows is taken to last `fixed + r * per_row` seconds; both come from an exponentially weighted least-squares
fit over the last runs. Nothing is refused, capped or waited for before some runs were seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# The weight of what is known already, per run: about the last twenty runs count.
KEEP = 0.95
LEARNT_AFTER_RUNS = 8
# Runs that end sooner than this after one that was learnt from teach nothing new, and cost what they say.
TEACH_EVERY_S = 0.001
# A single run that took longer than this many times what was expected says more about the machine than the model.
OUTLIER = 4.0

# Below this, a run costs so little beside its rows that nothing is saved by waiting for more of them.
WORTH_WAITING_S = 0.002
# The gap between two requests is believed to be at most this.
MAX_GAP_S = 1.0
# A burst is worked off; what stands for longer than this, or than a shorter objective, is overload (the idea of CoDel,
# RFC 8289).
STANDING_S = 0.1
# A queue that was overloaded so lately is so at once when it is too long again, as CoDel goes on where it left off.
AGAIN_S = 0.5


@dataclass(slots=True)
class Pace:
    """`objective_s` is how long a request without a deadline of its own may wait; `max_rows` bounds a batch."""

    objective_s: float
    max_rows: int
    batchable: bool = True
    fixed_s: float = 0.0
    per_row_s: float = 0.0
    _runs: int = 0
    _weight: float = 0.0
    _rows: float = 0.0
    _rows2: float = 0.0
    _seconds: float = 0.0
    _rows_seconds: float = 0.0
    _cap: int = 0
    _taught_at: float = -math.inf
    _last_arrival: float = -math.inf
    _gap_s: float = MAX_GAP_S
    _standing_since: float = math.inf
    _over_at: float = -math.inf

    @property
    def learnt(self) -> bool:
        """Whether enough runs were seen to say anything."""
        return self._runs >= LEARNT_AFTER_RUNS

    def ran(self, rows: int, seconds: float, now: float) -> None:
        """Learn from one run that ended `now`, on any steady clock. Called from the model's thread."""
        if now - self._taught_at < TEACH_EVERY_S and self.learnt:
            return
        self._taught_at = now
        if self.learnt:
            seconds = min(seconds, OUTLIER * max(self.fixed_s + rows * self.per_row_s, 1e-6))
        self._runs += 1
        self._weight = KEEP * self._weight + 1
        self._rows = KEEP * self._rows + rows
        self._rows2 = KEEP * self._rows2 + rows * rows
        self._seconds = KEEP * self._seconds + seconds
        self._rows_seconds = KEEP * self._rows_seconds + rows * seconds
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        spread = self._rows2 / self._weight - mean_rows * mean_rows
        most = mean_seconds / mean_rows
        # Without runs of different sizes, all is put on the rows: the slower guess.
        slope = (
            (self._rows_seconds / self._weight - mean_rows * mean_seconds) / spread if spread > 0.1 else most
        )
        slope = min(max(slope, 0.0), most)
        self.per_row_s, self.fixed_s = slope, mean_seconds - slope * mean_rows
        self._cap = self._learnt_cap()

    def arrived(self, now: float) -> None:
        """A request came. `now` is on `time.monotonic`'s clock."""
        if self.fixed_s < WORTH_WAITING_S:
            return
        self._gap_s += 0.1 * (min(now - self._last_arrival, MAX_GAP_S) - self._gap_s)
        self._last_arrival = now

    def aim(self, objective_s: float) -> None:
        """Follow another objective from here on; what was learnt stays."""
        self.objective_s = objective_s
        self._cap = self._learnt_cap()

    def row_cap(self) -> int:
        """How many rows to put together, so that one run takes at most half of the objective."""
        return self._cap or self.max_rows

    def run_s(self, rows: int) -> float:
        """How long a run of so many rows will take. 0 while that is not known."""
        return self.fixed_s + rows * self.per_row_s if self.learnt else 0.0

    def wait_s(self, *, rows: int, requests: int) -> float:
        """How long what is ahead in the queue will take. 0 while that is not known."""
        if not requests or self._runs < LEARNT_AFTER_RUNS:
            return 0.0
        runs = -(-rows // (self._cap or self.max_rows)) if self.batchable else requests
        return runs * self.fixed_s + rows * self.per_row_s

    def overloaded(self, now: float, wait_s: float) -> bool:
        """Whether a request would join a queue that is longer than the objective and has been for a while.

        What stands is over only when the queue has come down to half of the objective.
        """
        if wait_s <= self.objective_s:
            if wait_s <= self.objective_s / 2:
                self._standing_since = math.inf
            return False
        self._standing_since = min(self._standing_since, now)
        if now - self._standing_since < min(STANDING_S, self.objective_s) and now - self._over_at >= AGAIN_S:
            return False
        self._over_at = now
        return True

    def window_s(self) -> float:
        """How long the oldest request may wait for company: nothing, unless a run's fixed cost is high and another
        request is to be expected within the window."""
        if self.fixed_s < WORTH_WAITING_S or not self.learnt:
            return 0.0
        window = min(self.fixed_s / 2, self.objective_s / 10)
        return window if window >= self._gap_s else 0.0

    def _learnt_cap(self) -> int:
        if not self.learnt or self.per_row_s <= 0:
            return 0
        within = int((self.objective_s / 2 - self.fixed_s) / self.per_row_s)
        return min(max(within, 1), self.max_rows)
