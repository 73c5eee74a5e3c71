"""The check of a guardrail on how an arm's predictions are distributed, against the stable arm's in the same time.

Harm takes both: the always-valid test shows that the arms differ, and the stability index, less what chance alone makes
of it, exceeds the tolerance. So a canary whose predictions are distributed as the stable version's are is rolled back
with a chance of at most the check's level over all looks, and one that differs a little is not rolled back because the
sample is large. The index is an estimate without a confidence bound: it never rules harm out, so promotion may wait for
samples of it, but not for more. See `drift`.

Against a training reference the same is asked of every feature: the test's level is divided by their number, so that
one among many that looks odd by chance alone does not count. That the reference's bins were fixed by other rows than it
counts (`profiles`) keeps the test valid; that its rows were drawn independently is assumed, as of traffic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inference.rollouts.analysis.drift import LARGE, Drift, drift_between, shape_evidence
from inference.rollouts.analysis.evidence import Check, Method, Outcome

DEFAULT_TOLERANCE = LARGE


def shape_check(
    name: str,
    stable: Sequence[int],
    canary: Sequence[int],
    *,
    tolerance: float,
    share: float,
    min_samples: int,
    required: bool,
    earlier: Check | None,
) -> Check:
    """The check at level `share`. `stable` and `canary` are counts in the same bins, or empty while there are none.

    In the check `canary` is the index and `stable` what chance alone makes of it.
    """
    before, after = sum(stable), sum(canary)
    index = noise = None
    p_value = 1.0
    if before and after and len(stable) > 1:
        found = drift_between(stable, canary)
        index, noise = found.index, found.noise
        p_value = math.exp(-max(0.0, shape_evidence(stable, canary)))
    if earlier is not None and earlier.p_value is not None:
        p_value = min(p_value, earlier.p_value)
    return Check(
        name=name,
        kind="shape",
        direction="increase",
        tolerance=tolerance,
        stable=noise,
        canary=index,
        stable_samples=before,
        canary_samples=after,
        min_samples=min_samples,
        interval=None,
        p_value=p_value,
        alpha=share,
        method=Method.ALWAYS_VALID,
        outcome=_outcome(
            index, noise, tolerance, shown=p_value <= share, enough=min(before, after) >= min_samples
        ),
        required=required,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A feature's counts in the reference and since the step began, in the same bins."""

    name: str
    reference: Sequence[int]
    counts: Sequence[int]


def reference_check(
    name: str,
    parts: Sequence[Part],
    *,
    tolerance: float,
    share: float,
    min_samples: int,
    required: bool,
) -> Check:
    """The check of a version against its training reference, at level `share` over all `parts` together.

    The check tells the part that does harm, or else the one that moved most of those with enough values; parts with too
    few say nothing. In it `canary` is the index and `stable` what chance alone makes of it.
    """
    judged = [_judged(part, tolerance, share, min_samples, of=len(parts)) for part in parts]
    told = max(judged, key=lambda one: one.rank, default=_Judged("", Outcome.TOO_FEW, 0.0, None, 1.0, 0, 0))
    return Check(
        name=name,
        kind="reference",
        direction="increase",
        tolerance=tolerance,
        stable=told.drift.noise if told.drift else None,
        canary=told.drift.index if told.drift else None,
        stable_samples=told.before,
        canary_samples=told.after,
        min_samples=min_samples,
        interval=None,
        p_value=told.p_value,
        alpha=share,
        method=Method.ALWAYS_VALID,
        outcome=told.outcome,
        required=required,
        part=told.name,
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    name: str
    outcome: Outcome
    excess: float
    drift: Drift | None
    p_value: float
    before: int
    after: int

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Harm first, then what moved most, last what has too few values, of those what has most."""
        enough = self.outcome != Outcome.TOO_FEW
        return self.outcome == Outcome.HARM, enough, self.excess if enough else self.after


def _judged(part: Part, tolerance: float, share: float, min_samples: int, *, of: int) -> _Judged:
    before, after = sum(part.reference), sum(part.counts)
    drift, p_value = None, 1.0
    if before and after and len(part.counts) > 1:
        drift = drift_between(part.reference, part.counts)
        p_value = min(1.0, of * math.exp(-max(0.0, shape_evidence(part.reference, part.counts))))
    outcome = _outcome(
        drift.index if drift else None,
        drift.noise if drift else None,
        tolerance,
        shown=p_value <= share,
        enough=min(before, after) >= min_samples,
    )
    excess = drift.index - drift.noise if drift else 0.0
    return _Judged(part.name, outcome, excess, drift, p_value, before, after)


def _outcome(
    index: float | None, noise: float | None, tolerance: float, *, shown: bool, enough: bool
) -> Outcome:
    if index is None or noise is None or not enough:
        return Outcome.TOO_FEW
    if index - noise <= tolerance:
        return Outcome.NO_HARM
    return Outcome.HARM if shown else Outcome.UNDECIDED
