"""Profiles of training data: which features there are, that no row's value stays, and what shifted rows look like."""

from __future__ import annotations

import numpy as np
import pytest

from inference.rollouts.analysis.drift import LARGE, Band, psi
from inference.rollouts.analysis.profiles import (
    MAX_FEATURES,
    MIN_ROWS,
    Gathering,
    Profile,
    Take,
    Unusable,
    categories_of,
    features_of,
    flat,
    numbers_of,
)

NUMBERS = [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
PICTURE = [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}]
TEXT = [{"name": "text", "datatype": "BYTES", "shape": [-1]}]


def gathered(inputs, tensors, said=()):
    gathering = Gathering(inputs)
    count = len(next(iter(tensors.values())))
    gathering.add(tensors, list(said) or [("", None)] * count)
    return gathering.profile()


def normal(rows, *, mean=0.0, seed=7):
    return np.random.default_rng(seed).normal(mean, 1, (rows, 3)).astype(np.float32)


def test_features_follow_from_the_declared_form():
    def names(*inputs):
        return [taken.name for taken in features_of(inputs)]

    assert names(*NUMBERS) == ["x[0]", "x[1]", "x[2]"]
    assert names(*PICTURE) == ["image.mean", "image.std"]
    assert names({"name": "age", "datatype": "INT64", "shape": [-1, 1]}) == ["age"]
    assert names({"name": "ids", "datatype": "INT64", "shape": [-1, -1]}) == ["ids.mean", "ids.std"]
    assert names(*TEXT) == ["text"]
    assert names({"name": "words", "datatype": "BYTES", "shape": [-1, 4]}) == []
    many = [{"name": f"n{n}", "datatype": "FP32", "shape": [-1, 30]} for n in range(9)]
    assert len(features_of(many)) == MAX_FEATURES


def test_the_same_distribution_is_stable_and_a_shifted_one_is_large_and_json_loses_nothing():
    profile = Profile.from_json(gathered(NUMBERS, {"x": normal(4000)}).to_json())
    for shift, bands in ((0.0, {Band.STABLE}), (1.0, {Band.LARGE})):
        rows = flat(normal(2000, mean=shift, seed=8))
        found = [psi(feature.reference, feature.count(rows)[:-1]) for feature in profile.features]
        assert {drift.band for drift in found} == bands
        assert all((drift.index - drift.noise > LARGE) == (shift > 0) for drift in found)


def test_a_picture_that_is_darker_is_seen_in_its_mean():
    rng = np.random.default_rng(3)
    tensors = {"image": rng.normal(0.5, 0.2, (400, 3, 32, 32)).astype(np.float32)}
    mean, deviation = gathered(PICTURE, tensors).features
    darker = flat(rng.normal(0.4, 0.2, (300, 3, 32, 32)).astype(np.float32))
    assert psi(mean.reference, mean.count(darker)[:-1]).band == Band.LARGE
    assert psi(deviation.reference, deviation.count(darker)[:-1]).band != Band.LARGE


def test_no_text_that_few_rows_share_is_kept_and_free_text_is_told_by_its_length():
    free = np.array([f"my name is number {n}".encode() for n in range(400)], dtype=object)
    (length,) = gathered(TEXT, {"text": free}).features
    assert (length.name, length.taken.take, length.reference.categories) == ("text.length", Take.LENGTH, ())
    assert length.count(flat(free))[-1] == 0
    few = np.array(["yes", "no", "yes", "no"] * 100 + [f"secret {n}" for n in range(20)], dtype=object)
    (category,) = gathered(TEXT, {"text": few}).features
    assert category.reference.categories == ("no", "yes")
    assert "secret" not in str(category.reference.to_json())


def test_bins_are_fixed_by_other_values_than_those_that_are_counted():
    values = np.arange(1000.0)
    made = numbers_of(values, bins=10)
    assert sum(made.counts) == 500
    assert min(made.counts) > 0
    assert made.counts != numbers_of(values[::-1].copy(), bins=10).counts, "which half counts is drawn"
    alternating = categories_of(["a", "b"] * 200)
    assert alternating is not None
    assert (sum(alternating.counts), alternating.categories) == (200, ("a", "b"))


@pytest.mark.parametrize("mostly", [0.0, 1.0])
def test_a_value_that_nearly_all_rows_have_gets_a_bin_of_its_own(mostly):
    made = numbers_of(np.full(400, mostly), bins=10)
    assert made.counts == (0, 200, 0)
    assert made.count(np.array([mostly - 1, mostly, mostly + 1])) == (1, 1, 1)


def test_live_values_that_are_no_numbers_are_counted_by_themselves():
    (first, *_others) = gathered(NUMBERS, {"x": normal(400)}).features
    rows = flat(normal(10))
    rows[:3, 0] = np.nan
    assert (first.count(rows)[-1], sum(first.count(rows)[:-1])) == (3, 7)


def test_predictions_have_a_reference_where_the_answers_say_classes():
    said = [("cat" if n % 4 < 3 else "dog", 0.5 + n % 5 / 10) for n in range(400)]
    said = [said[(7 * n) % 400] for n in range(400)]
    profile = gathered(NUMBERS, {"x": normal(400)}, said)
    assert profile.predictions is not None
    assert profile.predictions.categories == ("cat", "dog")
    assert profile.confidence is not None
    assert sum(profile.confidence.counts) == 200
    assert gathered(NUMBERS, {"x": normal(400)}).predictions is None


def test_too_few_rows_and_values_that_are_no_numbers_are_refused_by_name():
    with pytest.raises(Unusable, match=f"at least {MIN_ROWS} rows; there are 199"):
        gathered(NUMBERS, {"x": normal(199)})
    rows = normal(300)
    rows[5, 1] = np.inf
    with pytest.raises(Unusable, match=r"x\[1\]"):
        gathered(NUMBERS, {"x": rows})
