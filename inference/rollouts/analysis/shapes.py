"""The check of a guardrail on how an arm's predictions are distributed, against the stable arm's in the same time.

Harm takes both: the always-valid test shows that the arms differ, and the stability index, less what chance alone makes
of it, exceeds the tolerance. So a canary whose predictions are distributed as the stable version's are is rolled back
with a chance of at most the check's level over all looks, and one that differs a little is not rolled back because the
sample is large. The index is an estimate without a confidence bound: it never rules harm out, so promotion may wait for
samples of it, but not for more. See `drift`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from inference.rollouts.analysis.drift import LARGE, drift_between, shape_evidence
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


def _outcome(
    index: float | None, noise: float | None, tolerance: float, *, shown: bool, enough: bool
) -> Outcome:
    if index is None or noise is None or not enough:
        return Outcome.TOO_FEW
    if index - noise <= tolerance:
        return Outcome.NO_HARM
    return Outcome.HARM if shown else Outcome.UNDECIDED
