"""`make bench-rollouts`: what the statistics of rollouts are worth, by simulation.

Plays whole canary rollouts through `judge` with a look after every few requests: equal arms, canaries that get 5 % of
the traffic, rare errors, faults of several kinds, and canaries exactly at a tolerance, the hardest not to promote. Then
what naive peeking does, whole A/B/n experiments with their false winners and their power, and our bandits against
mabwiser's, dealing evenly, and an oracle. Writes plots and a page to the folder named by --out. Exits with 1 when a
goal is missed. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.rollouts import bandits, canaries, experiments, report
from benchmarks.rollouts.bandits import Learned
from benchmarks.rollouts.canaries import Kind, Played

FALSE_VERDICTS_AT_MOST = 0.05
FOUND_AT_LEAST = 0.95
BEST_SHARE_AT_LEAST = 0.89


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=1000, help="of each scenario (default: 1000)")
    parser.add_argument("--seeds", type=int, default=20, help="of each bandit (default: 20)")
    parser.add_argument("--out", type=Path, default=Path("build/bench-rollouts"))
    arguments = parser.parse_args()
    if arguments.rollouts < 1 or arguments.seeds < 1:
        parser.error("at least one rollout and one seed")
    console = Console(highlight=False, width=130)
    began = time.perf_counter()

    ended, played = {}, []
    for number, scenario in enumerate(canaries.SCENARIOS):
        console.print(f"Playing {scenario.name} …")
        ended[scenario.name] = canaries.play(scenario, rollouts=arguments.rollouts, seed=number)
        played.append(canaries.summary(scenario, ended[scenario.name]))
    _print_canaries(console, played)
    console.print("Peeking …")
    peeked = canaries.peeking(rollouts=min(arguments.rollouts, 500), seed=100)
    _print_peeking(console, peeked)
    tried = []
    for number, trial in enumerate(experiments.SCENARIOS):
        console.print(f"Experimenting: {trial.name} …")
        tried.append(experiments.play(trial, runs=arguments.rollouts, seed=200 + number))
    drawn = experiments.mismatches(runs=arguments.rollouts, seed=300)
    _print_experiments(console, tried, drawn)
    console.print("Pulling arms …")
    learned, curves = bandits.everything(seeds=arguments.seeds)
    _print_bandits(console, learned)

    goals = [*_goals(played, peeked, learned), *experiments.goals(tried, drawn)]
    sentences = [f"{'held' if held else 'MISSED'}: {sentence}" for sentence, held in goals]
    for sentence, (_, held) in zip(sentences, goals, strict=True):
        console.print(sentence, style=None if held else "red")
    page = report.write(
        arguments.out,
        played=played,
        ended=ended,
        peeked=peeked,
        tried=tried,
        drawn=drawn,
        learned=learned,
        curves=curves,
        sentences=sentences,
    )
    missed = sum(not held for _, held in goals)
    console.print(f"{time.perf_counter() - began:.0f} s. The report is {page}.")
    console.print(f"{missed} goals are missed." if missed else "The goals are held.")
    print(
        json.dumps(
            {
                "canaries": [asdict(row) for row in played],
                "peeking": {name: float(reached[-1]) for name, reached in peeked.items()},
                "experiments": [asdict(row) for row in tried],
                "mismatches": [asdict(row) for row in drawn],
                "bandits": [asdict(row) for row in learned],
                "goals_missed": missed,
            }
        )
    )
    return 1 if missed else 0


def _goals(
    played: list[Played], peeked: dict[str, np.ndarray], learned: list[Learned]
) -> list[tuple[str, bool]]:
    """Each goal as a sentence, and whether it is held."""
    rolled_back = max(row.rolled_back for row in played if row.kind != Kind.HARMFUL)
    promoted = max(row.promoted for row in played if row.kind != Kind.HARMLESS)
    found = min(row.rolled_back for row in played if row.kind == Kind.HARMFUL)
    late = [
        row
        for row in learned
        if row.policy in ("Thompson", bandits.MANY) and row.delay == max(bandits.DELAYS)
    ]
    shares = ", ".join(f"{row.best_share:.3f} ± {row.error:.3f}" for row in late)
    return [
        (
            f"at most {FALSE_VERDICTS_AT_MOST:.0%} of the canaries within every tolerance are rolled back "
            f"(worst scenario {rolled_back:.1%})",
            rolled_back <= FALSE_VERDICTS_AT_MOST,
        ),
        (
            f"at most {FALSE_VERDICTS_AT_MOST:.0%} of the canaries at or past a tolerance are promoted "
            f"(worst scenario {promoted:.1%})",
            promoted <= FALSE_VERDICTS_AT_MOST,
        ),
        (
            f"at least {FOUND_AT_LEAST:.0%} of the injected faults are rolled back "
            f"(worst scenario {found:.1%})",
            found >= FOUND_AT_LEAST,
        ),
        (
            f"with 50 looks the mSPRT calls at most {FALSE_VERDICTS_AT_MOST:.0%} of equal arms different "
            f"({peeked['mSPRT'][-1]:.1%}; the z-test {peeked['z-test, peeked at'][-1]:.1%})",
            bool(peeked["mSPRT"][-1] <= FALSE_VERDICTS_AT_MOST),
        ),
        (
            f"Thompson gives the best arm a share of at least {BEST_SHARE_AT_LEAST} with rewards "
            f"{max(bandits.DELAYS)} pulls late ({shares})",
            all(row.best_share >= BEST_SHARE_AT_LEAST for row in late),
        ),
    ]


def _print_canaries(console: Console, played: list[Played]) -> None:
    table = Table("rollouts through judge", title=f"{canaries.LOOKS} looks, alpha {canaries.ALPHA}")
    for column in ("promoted", "rolled back", "inconclusive", "requests: median", "p90"):
        table.add_column(column, justify="right")
    for row in played:
        shares = (f"{share:.1%}" for share in (row.promoted, row.rolled_back, row.inconclusive))
        table.add_row(row.case, *shares, f"{row.median_requests:,.0f}", f"{row.p90_requests:,.0f}")
    console.print(table)


def _print_peeking(console: Console, peeked: dict[str, np.ndarray]) -> None:
    table = Table("equal arms (0.10), 5,000 per arm, 50 looks", title="Called different by chance")
    table.add_column("at the last look", justify="right")
    for name, reached in peeked.items():
        table.add_row(name, f"{reached[-1]:.1%}")
    console.print(table)


def _print_experiments(
    console: Console, tried: list[experiments.Ended], drawn: list[experiments.MismatchRow]
) -> None:
    table = Table("experiments", title=f"Control and 3 treatments, {experiments.LOOKS} looks, alpha 0.05")
    for column in ("false winner", "the best", "tie", "no winner", "requests: median", "peeking"):
        table.add_column(column, justify="right")
    for row in tried:
        best = f"{row.best:.1%}" if row.best is not None else "–"
        shares = (f"{row.false:.1%}", best, f"{row.tie:.1%}", f"{row.no_winner:.1%}")
        table.add_row(row.case, *shares, f"{row.median_requests:,.0f}", f"{row.naive:.1%}")
    console.print(table)
    table = Table("draw of 40, 30, 20 and 10 %", title=f"Mismatches, level {experiments.LEVEL:g}, 200 looks")
    for column in ("found", "requests: median"):
        table.add_column(column, justify="right")
    for draw in drawn:
        median = f"{draw.median_requests:,.0f}" if draw.median_requests is not None else "–"
        table.add_row(draw.case, f"{draw.found:.1%}", median)
    console.print(table)


def _print_bandits(console: Console, learned: list[Learned]) -> None:
    title = f"Arms {bandits.RATES[0]:.2f} and {bandits.RATES[1]:.2f}, {bandits.PULLS:,} pulls"
    table = Table("policy", title=title)
    for column in ("delay", "best arm's share", "± s.e.", "regret"):
        table.add_column(column, justify="right")
    for row in learned:
        table.add_row(
            row.policy, str(row.delay), f"{row.best_share:.3f}", f"{row.error:.3f}", f"{row.regret:.1f}"
        )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
