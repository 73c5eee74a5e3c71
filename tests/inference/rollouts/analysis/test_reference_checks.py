"""The check against a training reference: harm takes test and index, over all features together, at every look."""

from __future__ import annotations

import numpy as np

from inference.rollouts.analysis.evidence import Check, Method, Outcome
from inference.rollouts.analysis.profiles import numbers_of
from inference.rollouts.analysis.shapes import Part, reference_check


def checked(*parts, share=0.05, tolerance=0.25, min_samples=200):
    return reference_check(
        "drift_reference", parts, tolerance=tolerance, share=share, min_samples=min_samples, required=False
    )


EVEN = (100,) * 10


def test_the_part_that_does_harm_is_told_whatever_the_others_say():
    far = (900, 0, 0, 0, 0, 0, 0, 0, 0, 100)
    found = checked(Part("age", EVEN, (90,) * 10), Part("income", EVEN, far))
    assert (found.outcome, found.part, found.method) == (Outcome.HARM, "income", Method.ALWAYS_VALID)
    assert found.canary > 0.25 > found.stable
    assert "income" in found.explanation
    assert "training data" in found.definition


def test_a_small_difference_in_a_large_sample_is_no_harm():
    slight = (120_000, 80_000) * 5
    found = checked(Part("age", tuple(100 * n for n in EVEN), slight))
    assert (found.outcome, found.p_value < 1e-9) == (Outcome.NO_HARM, True)


def test_a_large_index_that_the_test_does_not_tell_from_chance_is_not_decided():
    found = checked(Part("age", (6, 2, 2), (2, 2, 7)), min_samples=10)
    assert (found.outcome, found.p_value > 0.05) == (Outcome.UNDECIDED, True)


def test_with_too_few_values_of_every_feature_nothing_is_said():
    assert checked().outcome == Outcome.TOO_FEW
    found = checked(Part("age", EVEN, (19,) * 10), Part("income", EVEN, (0,) * 10))
    assert (found.outcome, found.canary_samples) == (Outcome.TOO_FEW, 190)
    assert "190 were counted" in found.explanation
    some = checked(Part("age", EVEN, (19,) * 10), Part("income", EVEN, (50,) * 10))
    assert (some.outcome, some.part) == (Outcome.NO_HARM, "income")


def test_the_level_is_divided_by_the_number_of_features():
    moved = Part("age", (60, 20, 20), (20, 22, 62))
    alone = checked(moved, min_samples=50)
    among = checked(moved, *(Part(f"n{n}", (60, 20, 20), (60, 20, 20)) for n in range(19)), min_samples=50)
    assert among.p_value == min(1.0, 20 * alone.p_value)


def test_json_loses_nothing_and_what_was_stored_before_is_read():
    found = checked(Part("income", EVEN, (50,) * 10))
    assert Check.from_json(found.to_json()) == found
    older = found.to_json()
    del older["part"]
    assert Check.from_json(older).part == ""


def test_without_drift_it_rarely_finds_any_at_however_many_looks():
    """Five features, forty looks a run, with no tolerance, so that the test alone decides."""
    numbers, runs, wrong = np.random.default_rng(11), 150, 0
    for _run in range(runs):
        references = [numbers_of(numbers.normal(size=600), bins=5) for _feature in range(5)]
        counts = [np.zeros(5, dtype=int) for _feature in range(5)]
        for _look in range(40):
            for reference, count in zip(references, counts, strict=True):
                count += np.array(reference.count(numbers.normal(size=40)))
            parts = [
                Part(str(n), reference.counts, tuple(map(int, count)))
                for n, (reference, count) in enumerate(zip(references, counts, strict=True))
            ]
            if checked(*parts, tolerance=0.0, min_samples=20).outcome == Outcome.HARM:
                wrong += 1
                break
    assert wrong <= 0.05 * runs
