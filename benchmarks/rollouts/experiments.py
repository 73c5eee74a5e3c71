"""Whole simulated experiments through `judge_experiment`: false winners, power, and what a mismatch of the draw does.

Each has a control and three treatments, judged at every one of 40 looks. The naive comparison beside it is what many
do: a z-test of every treatment at every look, at 5 % each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from inference.rollouts.analysis.experiment_evidence import Ending, Stop
from inference.rollouts.analysis.experiments import Terms, judge_experiment
from inference.rollouts.analysis.mismatch import LEVEL, Drawn, mismatch
from inference.rollouts.analysis.planning import samples_needed
from inference.rollouts.analysis.sequential import Rate, z_test
from inference.rollouts.analysis.verdicts import ArmWindow, Direction, Step

ALPHA, POWER, LOOKS, EFFECT = 0.05, 0.8, 40, 0.03
METRIC = "task_completed"
TERMS = Terms(METRIC, Direction.DECREASE, EFFECT, ALPHA)
EQUAL = (100, 100, 100, 100)


@dataclass(frozen=True)
class Scenario:
    """True rates of the arms, the control first, and how many requests of each come between two looks."""

    name: str
    rates: tuple[float, ...]
    per_look: tuple[int, ...] = EQUAL
    best: int | None = None


def _planned() -> int:
    """The size that planning says: requests of a treatment, in a fortieth of which there is a look."""
    spread = (0.20 * 0.80, 0.23 * 0.77)
    needed = samples_needed(spread=spread, effect=EFFECT, alpha=ALPHA / 3, power=POWER)
    return -(-needed // LOOKS)


SCENARIOS = (
    Scenario("A/A/A/A, 5 %", (0.05,) * 4),
    Scenario("A/A/A/A, 50 %", (0.50,) * 4),
    Scenario("A/A/A/A, 50 %, shares 85, 5, 5, 5", (0.50,) * 4, (850, 50, 50, 50)),
    Scenario("all treatments 3 points worse", (0.50, 0.47, 0.47, 0.47)),
    Scenario("one 3 points better, planned size", (0.20, 0.20, 0.20, 0.23), (_planned(),) * 4, best=3),
    Scenario("one 8 points better, one 3", (0.20, 0.20, 0.23, 0.28), (200,) * 4, best=3),
    Scenario("two equally better", (0.20, 0.20, 0.26, 0.26), (200,) * 4),
)


@dataclass(frozen=True)
class Ended:
    """How the experiments of one scenario ended, as shares, and the median requests of the first treatment until then.

    `false` counts winners that are no better than the control; `naive` how often peeking called any treatment better.
    """

    case: str
    false: float
    best: float | None
    winner: float
    tie: float
    no_winner: float
    median_requests: float
    naive: float


@dataclass(frozen=True)
class MismatchRow:
    """How often a draw was called a mismatch, and the median requests of all arms until then."""

    case: str
    found: float
    median_requests: float | None


def play(scenario: Scenario, *, runs: int, seed: int) -> Ended:
    """Simulate so many experiments; each ends with the first ending that a controller would act on for good."""
    random = np.random.default_rng(seed)
    hits = [
        np.cumsum(random.binomial(size, rate, (runs, LOOKS)), axis=1)
        for rate, size in zip(scenario.rates, scenario.per_look, strict=True)
    ]
    endings: Counter[Ending] = Counter()
    false = best = naive = 0
    requests = []
    for run in range(runs):
        ending, leader, look = _one(scenario, [arm[run] for arm in hits])
        endings[ending] += 1
        requests.append((look + 1) * scenario.per_look[1])
        if ending == Ending.WINNER:
            false += scenario.rates[leader] <= scenario.rates[0]
            best += leader == scenario.best
        naive += _peeked(scenario, [arm[run] for arm in hits])
    return Ended(
        case=scenario.name,
        false=false / runs,
        best=best / runs if scenario.best is not None else None,
        winner=endings[Ending.WINNER] / runs,
        tie=endings[Ending.TIE] / runs,
        no_winner=(endings[Ending.NO_WINNER] + endings[Ending.ALL_STOPPED]) / runs,
        median_requests=float(np.median(requests)),
        naive=naive / runs,
    )


def mismatches(*, runs: int, seed: int) -> list[MismatchRow]:
    """Fair draws of 40, 30, 20 and 10 percent, and draws of which an arm loses a part, with a look every 500."""
    shares = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.1}
    cases: dict[str, Mapping[str, float]] = {
        "as promised": {},
        "2 % of one arm are lost": {"b": 0.02},
        "10 % of one arm are lost": {"b": 0.1},
        "one arm never answers": {"d": 1.0},
    }
    rows = []
    for number, (name, lost) in enumerate(cases.items()):
        random = np.random.default_rng(seed + number)
        kept = np.array([share * (1 - lost.get(arm, 0.0)) for arm, share in shares.items()])
        at = []
        for _run in range(runs):
            counts = np.cumsum(random.multinomial(500, kept / kept.sum(), 200), axis=0)
            for row in counts:
                if mismatch([Drawn(shares, dict(zip(shares, map(int, row), strict=True)))]).found:
                    at.append(int(row.sum()))
                    break
        rows.append(MismatchRow(name, len(at) / runs, float(np.median(at)) if at else None))
    return rows


def goals(ended: list[Ended], drawn: list[MismatchRow]) -> list[tuple[str, bool]]:
    """Each goal as a sentence, and whether it is held."""
    false = max(row.false for row in ended)
    planned = next(row for row in ended if "planned" in row.case)
    assert planned.best is not None
    fair, *wrong = drawn
    return [
        (
            f"at most {ALPHA:.0%} of the experiments name a winner that is no better than the control, with a look at "
            f"every fortieth (worst scenario {false:.1%}; peeking at z-tests "
            f"{max(row.naive for row in ended if 'A/A' in row.case):.1%})",
            false <= ALPHA,
        ),
        (
            f"of the size that planning says, at least {POWER:.0%} find the one better treatment ({planned.best:.1%})",
            planned.best >= POWER,
        ),
        (
            f"at most 1 % of fair draws are called a mismatch at level {LEVEL:g} ({fair.found:.1%}), and every draw "
            f"that loses a tenth of an arm is ({wrong[1].found:.1%})",
            fair.found <= 0.01 and all(row.found == 1 for row in wrong[1:]),
        ),
    ]


def _one(scenario: Scenario, hits: list[np.ndarray]) -> tuple[Ending, int, int]:
    """The ending of one experiment, its winner, and the look it came at, from 0. Stopped arms count no further."""
    stopped: dict[str, Stop] = {}
    for look in range(LOOKS):
        arms = {
            f"v{arm}": ArmWindow(
                requests=size * (look + 1), rates={METRIC: Rate(size * (look + 1), int(hits[arm][look]))}
            )
            for arm, size in enumerate(scenario.per_look)
        }
        step = Step(elapsed_s=look + 1, max_s=LOOKS)
        judged = judge_experiment(terms=TERMS, arms=arms, step=step, stopped=stopped)
        stopped = judged.stopped
        if judged.ending not in (Ending.GO_ON, Ending.STOP_ARMS):
            return judged.ending, int(judged.leader[1:] or 0), look
    # The last look has stopped an arm: the controller's next one would end it.
    judged = judge_experiment(terms=TERMS, arms=arms, step=step, stopped=stopped)
    return judged.ending, int(judged.leader[1:] or 0), LOOKS - 1


def _peeked(scenario: Scenario, hits: list[np.ndarray]) -> bool:
    """Whether a z-test at 5 % ever calls a treatment better."""
    for look in range(LOOKS):
        control = Rate(scenario.per_look[0] * (look + 1), int(hits[0][look]))
        for arm in range(1, len(hits)):
            treatment = Rate(scenario.per_look[arm] * (look + 1), int(hits[arm][look]))
            found = z_test(control, treatment, alpha=ALPHA)
            if found.decided and (found.difference or 0.0) > 0:
                return True
    return False
