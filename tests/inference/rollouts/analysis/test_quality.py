"""Figures of labelled predictions against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from inference.rollouts.analysis.quality import ConfusionMatrix, brier, calibration

pairs_of_classes = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=60
)


@settings(deadline=None, max_examples=60)
@given(pairs_of_classes)
def test_the_figures_are_scikit_learn_s(pairs: list[tuple[str, str]]) -> None:
    pairs = [*pairs, ("a", "b")]  # scikit-learn warns of a single class
    labels, predicted = zip(*pairs, strict=True)
    matrix = ConfusionMatrix.of(pairs)
    assert np.array_equal(matrix.counts, metrics.confusion_matrix(labels, predicted))
    quality = matrix.quality(draws=50)
    assert quality.accuracy.value == pytest.approx(metrics.accuracy_score(labels, predicted))
    expected = metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for figures, precision, recall, f1, support in zip(
        quality.classes, *(column.tolist() for column in expected), strict=True
    ):
        assert figures.support == support
        assert figures.precision.value in (None, pytest.approx(precision))
        assert figures.recall.value in (None, pytest.approx(recall))
        assert figures.f1.value == pytest.approx(f1)
    macro = metrics.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    found = (quality.macro.precision.value, quality.macro.recall.value, quality.macro.f1.value)
    assert found == pytest.approx(macro[:3])
    micro = metrics.f1_score(labels, predicted, average="micro", zero_division=0)
    assert quality.micro.f1.value == pytest.approx(micro)


def test_intervals_cover_what_they_estimate() -> None:
    """The macro F1 of 2,000 pairs lies in the intervals of 95 % of the samples of 200, within chance."""
    random = np.random.default_rng(8)
    truth = np.array([[0.35, 0.05, 0.0], [0.05, 0.25, 0.05], [0.02, 0.03, 0.2]])
    whole = ConfusionMatrix(("a", "b", "c"), np.round(truth * 1000).astype(int)).quality(draws=10).macro.f1
    assert whole.value is not None
    covered = 0
    for seed in range(200):
        counts = random.multinomial(200, truth.ravel() / truth.sum()).reshape(3, 3)
        interval = ConfusionMatrix(("a", "b", "c"), counts).quality(seed=seed, draws=300).macro.f1.interval
        covered += interval is not None and whole.value in interval
    assert 0.89 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_intervals() -> None:
    matrix = ConfusionMatrix.of([("a", "a"), ("a", "b"), ("b", "b"), ("b", "b")] * 10)
    assert matrix.quality(seed=3) == matrix.quality(seed=3)


def test_no_labels_yet_is_no_figure() -> None:
    quality = ConfusionMatrix.of([]).quality()
    assert (quality.count, quality.accuracy.value, quality.macro.f1.value) == (0, None, None)
    assert calibration(np.array([]), np.array([])).error.value is None
    assert brier(np.array([]), np.array([])).value is None


def test_calibration_is_scikit_learn_s_curve() -> None:
    random = np.random.default_rng(9)
    sure = random.random(3000)
    right = random.random(3000) < sure**1.5
    found = calibration(sure, right, bins=10)
    rate, confidence = calibration_curve(right, sure, n_bins=10)
    assert [one.accuracy.value for one in found.bins] == pytest.approx(rate.tolist())
    assert [one.confidence for one in found.bins] == pytest.approx(confidence.tolist())
    weights = np.array([one.count for one in found.bins]) / 3000
    assert found.error.value == pytest.approx(float(np.abs(rate - confidence) @ weights))
    assert found.error.interval and found.error.value in found.error.interval
    assert found == calibration(sure, right, bins=10)


def test_brier_is_scikit_learn_s() -> None:
    random = np.random.default_rng(10)
    probabilities, labels = random.random(200), random.integers(0, 2, 200)
    found = brier(probabilities, labels)
    assert found.value == pytest.approx(metrics.brier_score_loss(labels, probabilities))
    assert found.interval and found.value in found.interval
    two = brier(np.stack([1 - probabilities, probabilities], axis=1), labels)
    assert two.value == pytest.approx(2 * found.value)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        brier(np.array([1.2]), np.array([1]))
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibration(np.array([np.nan]), np.array([True]))
    with pytest.raises(ValueError, match="as many"):
        brier(np.array([0.2, 0.3]), np.array([1]))
