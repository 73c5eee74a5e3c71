"""How a classifier does in each group, by Fairlearn, in the form that the ethics office takes as evidence.

Runs where models are evaluated, never in the site's processes: Fairlearn is installed with `requirements-train.lock`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

FORMAT = "openclaw-evaluation-1"
RATES = ("accuracy", "selection_rate", "false_positive_rate", "false_negative_rate")


class EvaluationError(ValueError):
    """The predictions cannot be evaluated; the message says why."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Rows of one data set: what was true, what was predicted, and the group, as text."""

    truth: Sequence[str]
    predicted: Sequence[str]
    groups: Sequence[str]
    data_name: str
    data_sha256: str
    group_name: str


def read_predictions(path: Path, *, truth: str, prediction: str, group: str) -> Predictions:
    """Read a CSV file (UTF-8, first line the names). Raises EvaluationError."""
    data = path.read_bytes()
    try:
        rows = list(csv.DictReader(StringIO(data.decode("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationError(f"{path.name} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise EvaluationError(f"{path.name} has no rows.")
    columns: dict[str, list[str]] = {}
    for name in (truth, prediction, group):
        if name not in rows[0]:
            raise EvaluationError(f"{path.name} has no column “{name}”; it has {', '.join(rows[0])}.")
        columns[name] = [(row[name] or "").strip() for row in rows]
        if empty := next((n for n, value in enumerate(columns[name], start=2) if not value), 0):
            raise EvaluationError(f"{path.name}, line {empty}: the column “{name}” is empty.")
    return Predictions(
        columns[truth], columns[prediction], columns[group], path.name, sha256(data).hexdigest(), group
    )


def evaluate(given: Predictions, *, positive: str, model: str = "") -> dict[str, Any]:
    """Accuracy, selection rate, false positive and false negative rate: over all, per group, and how far apart.

    `positive` is the label that stands for being selected. Raises EvaluationError for fewer than two groups, and where
    Fairlearn is not installed.
    """
    try:
        from fairlearn.metrics import (
            MetricFrame,
            count,
            false_negative_rate,
            false_positive_rate,
            selection_rate,
        )
        from sklearn.metrics import accuracy_score
    except ImportError as error:
        raise EvaluationError(
            "This command needs Fairlearn. Install it where you evaluate models: "
            "pip install -r requirements-train.lock"
        ) from error
    if len(set(given.groups)) < 2:
        raise EvaluationError("An evaluation per group needs at least two groups.")
    if positive not in {*given.truth, *given.predicted}:
        raise EvaluationError(f"No row has the label “{positive}”.")
    truth = [int(label == positive) for label in given.truth]
    predicted = [int(label == positive) for label in given.predicted]
    frame = MetricFrame(
        metrics={
            "n": count,
            "accuracy": accuracy_score,
            "selection_rate": selection_rate,
            "false_positive_rate": false_positive_rate,
            "false_negative_rate": false_negative_rate,
        },
        y_true=truth,
        y_pred=predicted,
        sensitive_features=list(given.groups),
    )
    # A rate over no rows is no rate, whatever number stands for it.
    seen = {(name, label) for name, label in zip(given.groups, truth, strict=True)}
    groups = [
        {"group": str(name), **_figures(row, positives=(name, 1) in seen, negatives=(name, 0) in seen)}
        for name, row in frame.by_group.to_dict("index").items()
    ]
    difference, ratio = frame.difference(method="between_groups"), frame.ratio(method="between_groups")
    return {
        "format": FORMAT,
        **({"model": model} if model else {}),
        "data": {"name": given.data_name, "rows": len(truth), "sha256": given.data_sha256},
        "group": given.group_name,
        "positive": positive,
        "overall": _figures(frame.overall.to_dict(), positives=1 in truth, negatives=0 in truth),
        "groups": groups,
        "disparities": {
            rate: {"difference": None, "ratio": None}
            if any(group[rate] is None for group in groups)
            else {"difference": _number(difference[rate]), "ratio": _number(ratio[rate])}
            for rate in RATES
        },
        "made_by": f"openclaw ethics evaluate, fairlearn {version('fairlearn')}",
    }


def _figures(row: dict[str, Any], *, positives: bool, negatives: bool) -> dict[str, Any]:
    return {
        "n": int(row["n"]),
        "accuracy": _number(row["accuracy"]),
        "selection_rate": _number(row["selection_rate"]),
        "false_positive_rate": _number(row["false_positive_rate"]) if negatives else None,
        "false_negative_rate": _number(row["false_negative_rate"]) if positives else None,
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
