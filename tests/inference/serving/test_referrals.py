"""Which answers go to a person, and that a duty which nobody can fulfil is never ignored."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference.serving.referrals import fulfilled_here, referral_of

PLACE = {
    "tenant_id": uuid4(),
    "endpoint_id": uuid4(),
    "endpoint": "tumours",
    "version": "1.0.0",
    "prediction_id": uuid4(),
    "asked_by": "ward 7",
}


def refer(duties, **outputs):
    return referral_of(
        duties, {name: np.asarray(value, dtype) for name, (value, dtype) in outputs.items()}, **PLACE
    )


SURE, UNSURE = ([[0.01, 0.99]], "f4"), ([[0.45, 0.55]], "f4")


def test_an_unsure_answer_goes_to_a_person_and_a_sure_one_does_not():
    assert refer(["refer-below:0.8:p"], p=SURE) is None
    found = refer(["refer-below:0.8:p"], p=UNSURE)
    assert (found.cause, found.rows, found.proposed) == ("low_confidence", (1,), "1")
    assert found.confidence == pytest.approx(0.55)


def test_only_the_unsure_rows_are_named():
    found = refer(["refer-below:0.8:p"], p=([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]], "f4"))
    assert (found.rows, found.proposed) == ((2, 3), "")


@pytest.mark.parametrize(
    "outputs",
    [
        {"q": SURE},
        {"p": ([[1]], "i8")},
        {"p": ([[float("nan"), 0.2]], "f4")},
        {"p": (np.zeros((0, 2)), "f4")},
    ],
)
def test_what_is_no_confidence_counts_as_none(outputs):
    assert refer(["refer-below:0.8:p"], **outputs) is not None


def test_without_a_name_the_last_output_with_classes_is_meant():
    assert refer(["refer-below:0.8:"], label=([1], "i8"), score=([0.1], "f4"), p=SURE) is None
    assert refer(["refer-below:0.8:"], p=SURE, q=UNSURE) is not None


def test_where_much_depends_every_answer_goes_to_a_person():
    assert refer(["person-confirms"], p=SURE).cause == "high_impact"
    assert refer([], p=UNSURE) is None


def test_other_duties_are_nobodys_here():
    duties = ["person-confirms", "refer-below:0.5:p", "tell-the-regulator"]
    assert fulfilled_here(duties) == {"person-confirms", "refer-below:0.5:p"}


@given(arrays("f4", st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(0, 1, width=32)))
def test_exactly_the_rows_below_the_limit_are_referred(table):
    found = referral_of(["refer-below:0.5:p"], {"p": table}, **PLACE)
    below = tuple(number for number, row in enumerate(table, start=1) if row.max() < 0.5)
    assert (found.rows if found else ()) == below
