"""The plots and the page that `make bench-rollouts` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt

from benchmarks.rollouts import experiments
from benchmarks.rollouts.bandits import BATCH, DELAYS, PULLS, Curves, Learned
from benchmarks.rollouts.canaries import LOOKS, Ended, Played
from inference.rollouts.analysis.verdicts import Verdict

WIDTH, HEIGHT = 8.0, 4.5


def write(
    folder: Path,
    *,
    played: Sequence[Played],
    ended: Mapping[str, Sequence[Ended]],
    peeked: Mapping[str, np.ndarray],
    tried: Sequence[experiments.Ended],
    drawn: Sequence[experiments.MismatchRow],
    learned: Sequence[Learned],
    curves: Mapping[tuple[str, int], Curves],
    sentences: Sequence[str],
) -> Path:
    """Write the PNGs and `report.md` that shows them; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    _verdicts(folder / "verdicts.png", ended)
    _peeking(folder / "peeking.png", peeked)
    _regret(folder / "regret.png", curves)
    _shares(folder / "shares.png", curves)
    page = folder / "report.md"
    page.write_text(
        "\n\n".join(
            [
                "# Statistics of rollouts, simulated",
                "\n".join(f"- {sentence}" for sentence in sentences),
                "## Canaries\n\nWhat became of the rollouts by each look, and how each scenario ended.",
                "![verdicts](verdicts.png)",
                _markdown([asdict(row) for row in played]),
                "## Peeking\n\nRuns without any difference that each test has called different by then.",
                "![peeking](peeking.png)",
                f"## Experiments\n\nA control and three treatments with {experiments.LOOKS} looks: how they ended.",
                _markdown([asdict(row) for row in tried]),
                "Draws against the shares that were promised, with 200 looks.",
                _markdown([asdict(row) for row in drawn]),
                f"## Bandits\n\nArms 0.80 and 0.85, {PULLS:,} pulls, shares found anew every {BATCH} pulls.",
                "![regret](regret.png)",
                "![shares](shares.png)",
                _markdown([asdict(row) for row in learned]),
            ]
        )
        + "\n",
        encoding="utf-8",
    )
    return page


def _verdicts(path: Path, ended: Mapping[str, Sequence[Ended]]) -> None:
    columns = 3
    rows = -(-len(ended) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.4 * rows), sharex=True, sharey=True)
    looks = np.arange(1, LOOKS + 1)
    colours = {Verdict.PROMOTE: "tab:green", Verdict.ROLL_BACK: "tab:red", Verdict.INCONCLUSIVE: "tab:gray"}
    for axis, (name, rollouts) in zip(axes.ravel(), ended.items(), strict=False):
        for verdict, colour in colours.items():
            at = np.array([one.look for one in rollouts if one.verdict == verdict])
            reached = [(at <= look).sum() / len(rollouts) for look in looks]
            axis.plot(looks, reached, color=colour, label=verdict.value.replace("_", " "))
        axis.set_title(name, fontsize=8)
        axis.set_ylim(-0.02, 1.02)
    for axis in axes.ravel()[len(ended) :]:
        axis.set_visible(False)
    axes.ravel()[0].legend(fontsize=7)
    figure.supxlabel("look")
    figure.supylabel("share of rollouts")
    _save(figure, path)


def _peeking(path: Path, peeked: Mapping[str, np.ndarray]) -> None:
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    for name, reached in peeked.items():
        axis.plot(np.arange(1, len(reached) + 1), reached, label=name)
    axis.axhline(0.05, color="black", linestyle=":", label="promised: 0.05")
    axis.set_xlabel("looks taken")
    axis.set_ylabel("false positives")
    axis.legend()
    _save(figure, path)


def _regret(path: Path, curves: Mapping[tuple[str, int], Curves]) -> None:
    figure, axes = plt.subplots(1, len(DELAYS), figsize=(4 * len(DELAYS), HEIGHT), sharey=True)
    for axis, delay in zip(axes, DELAYS, strict=True):
        for (name, at), curve in curves.items():
            if at == delay:
                axis.plot(curve.regret, label=name, linestyle="--" if "mabwiser" in name else "-")
        axis.set_title(f"rewards {delay} pulls late", fontsize=9)
        axis.set_xlabel("pulls")
    axes[0].set_ylabel("regret")
    axes[0].legend(fontsize=7)
    _save(figure, path)


def _shares(path: Path, curves: Mapping[tuple[str, int], Curves]) -> None:
    figure, axis = plt.subplots(figsize=(WIDTH, HEIGHT))
    colours = dict(zip(DELAYS, ("tab:blue", "tab:orange", "tab:red"), strict=True))
    for (name, delay), curve in curves.items():
        if name.startswith("Thompson") and "spread" not in name:
            pulls = np.arange(len(curve.best)) * BATCH
            style = "--" if "pending" in name else "-"
            axis.plot(pulls, curve.best, style, color=colours[delay], label=f"{name}, delay {delay}")
    axis.set_xlabel("pulls")
    axis.set_ylabel("share of the best arm")
    axis.legend(fontsize=7)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(rows[0])
    lines = [
        "| " + " | ".join(column.replace("_", " ") for column in columns) + " |",
        "|" + "---|" * len(columns),
    ]
    lines += ["| " + " | ".join(_text(row[column]) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
