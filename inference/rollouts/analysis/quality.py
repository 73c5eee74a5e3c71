"""How well a version predicts, from labels that came back: confusion matrix, figures, calibration, with intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.rollouts.analysis.intervals import Interval, mean_interval, percentiles, wilson

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its interval. `value` is None where it is not defined (precision of a class never predicted)."""

    value: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """Precision, recall and F1 of one class. The mean over all classes has an empty name."""

    name: str
    support: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of `count` labelled predictions. `micro` F1 equals accuracy where each case has one label, as here."""

    count: int
    accuracy: Estimate
    classes: tuple[ClassFigures, ...]
    macro: ClassFigures
    micro: ClassFigures


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of one range of confidence: how sure they were and how often they were right."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """`error` is the expected calibration error: |accuracy − confidence| over the bins, weighted by their counts."""

    error: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, eq=False)
class ConfusionMatrix:
    """`counts[i, j]`: how often class i was predicted as class j. Shape (classes, classes)."""

    classes: tuple[str, ...]
    counts: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[tuple[Hashable, Hashable]]) -> ConfusionMatrix:
        """From (label, predicted) pairs. Classes are compared and sorted by their text."""
        return cls.counted(Counter((str(label), str(predicted)) for label, predicted in pairs))

    @classmethod
    def counted(cls, pairs: Mapping[tuple[str, str], int]) -> ConfusionMatrix:
        """From how often each (label, predicted) pair was seen."""
        classes = tuple(sorted({name for pair in pairs for name in pair}))
        at = {name: index for index, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for (label, predicted), count in pairs.items():
            counts[at[label], at[predicted]] += count
        return cls(classes, counts)

    def quality(self, *, confidence: float = 0.95, seed: int = 0, draws: int = DRAWS) -> Quality:
        """Every figure with its interval.

        Wilson's for accuracy, precision and recall; for F1 and the means over classes the bootstrap over the cells,
        which is the bootstrap over the pairs. What is undefined counts as 0 in a mean, as is usual. The same for the
        same seed.
        """
        count = int(self.counts.sum())
        if count:
            random = np.random.default_rng(seed)
            drawn = random.multinomial(count, self.counts.ravel() / count, size=draws)
            resampled = drawn.reshape(draws, *self.counts.shape)
        else:
            resampled = np.zeros((0, *self.counts.shape), dtype=np.int64)
        precision, recall, f1 = _figures(self.counts[None])
        drawn_precision, drawn_recall, drawn_f1 = _figures(resampled)
        right = int(np.trace(self.counts))
        classes = tuple(
            ClassFigures(
                name,
                support=int(self.counts[index].sum()),
                precision=_rate(int(self.counts[index, index]), int(self.counts[:, index].sum()), confidence),
                recall=_rate(int(self.counts[index, index]), int(self.counts[index].sum()), confidence),
                f1=_drawn(float(f1[0, index]), drawn_f1[:, index], confidence),
            )
            for index, name in enumerate(self.classes)
        )
        accuracy = _rate(right, count, confidence)
        return Quality(
            count=count,
            accuracy=accuracy,
            classes=classes,
            macro=ClassFigures(
                "",
                count,
                precision=_mean_over_classes(precision, drawn_precision, confidence),
                recall=_mean_over_classes(recall, drawn_recall, confidence),
                f1=_mean_over_classes(f1, drawn_f1, confidence),
            ),
            micro=ClassFigures("", count, precision=accuracy, recall=accuracy, f1=accuracy),
        )


def calibration(
    confidences: np.ndarray,
    right: np.ndarray,
    *,
    bins: int = 10,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> Calibration:
    """Reliability over equally wide bins of the confidence in the predicted class (Guo et al., ICML 2017).

    `confidences` (n,) lie in [0, 1], `right` (n,) says whether each prediction was. The error's interval is the
    bootstrap's, moved by its bias: chance alone makes a resampled error greater.
    """
    _check_probabilities(confidences)
    right = right.astype(float)
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    table = np.stack([np.bincount(place, weights=w, minlength=bins) for w in (None, confidences, right)])
    made = tuple(
        ReliabilityBin(
            low=index / bins,
            high=(index + 1) / bins,
            count=int(count),
            confidence=float(sure / count) if count else None,
            accuracy=_rate(int(hits), int(count), level),
        )
        for index, (count, sure, hits) in enumerate(table.T)
    )
    n = len(confidences)
    if n == 0:
        return Calibration(Estimate(None, None), made)
    random = np.random.default_rng(seed)
    gaps = (confidences - right)[np.argsort(place, kind="stable")]
    edges = np.concatenate([[0], np.cumsum(table[0].astype(int))])
    drawn = np.empty(draws)
    for draw in range(draws):
        weights = np.bincount(random.integers(0, n, n), minlength=n)
        sums = np.concatenate([[0.0], np.cumsum(weights * gaps)])
        drawn[draw] = np.abs(np.diff(sums[edges])).sum() / n
    error = float(np.abs(table[1] - table[2]).sum() / n)
    moved = percentiles(drawn - (drawn.mean() - error), confidence=level)
    interval = Interval(min(moved.low, error), max(moved.high, error)).clipped(0.0, 1.0)
    return Calibration(Estimate(error, interval), made)


def brier(probabilities: np.ndarray, labels: np.ndarray, *, confidence: float = 0.95) -> Estimate:
    """Brier's score (Monthly Weather Review 78, 1950): the mean squared error of the probabilities; 0 is best.

    Shapes (n,) with labels 0 and 1, or (n, classes) with labels 0 … classes − 1, where the squares are summed over the
    classes (then the worst is 2).
    """
    _check_probabilities(probabilities)
    if len(probabilities) != len(labels):
        raise ValueError("there are not as many labels as probabilities")
    if len(labels) == 0:
        return Estimate(None, None)
    truth = labels if probabilities.ndim == 1 else np.eye(probabilities.shape[1])[labels]
    squares = (probabilities - truth) ** 2
    losses = squares if probabilities.ndim == 1 else squares.sum(axis=1)
    return Estimate(float(np.mean(losses)), mean_interval(losses, confidence=confidence))


def _figures(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 by class; shapes (n, classes, classes) → (n, classes). Undefined is 0."""
    right = np.diagonal(counts, axis1=1, axis2=2).astype(float)
    predicted, labelled = counts.sum(axis=1), counts.sum(axis=2)
    return (
        right / np.maximum(predicted, 1),
        right / np.maximum(labelled, 1),
        2 * right / np.maximum(predicted + labelled, 1),
    )


def _rate(hits: int, count: int, confidence: float) -> Estimate:
    if not count:
        return Estimate(None, None)
    return Estimate(hits / count, wilson(hits, count, confidence=confidence))


def _drawn(value: float, drawn: np.ndarray, confidence: float) -> Estimate:
    return Estimate(value, percentiles(drawn, confidence=confidence) if len(drawn) else None)


def _mean_over_classes(found: np.ndarray, drawn: np.ndarray, confidence: float) -> Estimate:
    if not found.shape[1]:
        return Estimate(None, None)
    return _drawn(float(found.mean()), drawn.mean(axis=1), confidence)


def _check_probabilities(values: np.ndarray) -> None:
    if len(values) and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise ValueError("probabilities lie between 0 and 1")
