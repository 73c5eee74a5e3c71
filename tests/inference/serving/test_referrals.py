"""Which answers go to a person, and that a duty which nobody can fulfil is never ignored."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from governance.oversight.duties import fulfilled_by_confirming, limits_of, withholds
from governance.principals import Principal
from inference.serving.referrals import AnswerWithheld, referral_of

PLACE = {
    "tenant_id": uuid4(),
    "endpoint_id": uuid4(),
    "endpoint": "tumours",
    "version": "1.0.0",
    "prediction_id": uuid4(),
    "asker": Principal(kind="client", id="7", label="ward 7"),
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
    found = refer(["person-confirms"], p=SURE)
    assert (found.cause, found.withheld) == ("high_impact", True)
    assert not refer(["refer-below:0.8:p"], p=UNSURE).withheld, "it is given, and marked"
    assert refer([], p=UNSURE) is None


def test_an_unsure_answer_is_withheld_where_the_rule_says_so():
    found = refer(["withhold-below:0.8:p"], p=UNSURE)
    assert (found.cause, found.withheld, found.rows) == ("low_confidence", True, (1,))
    assert refer(["withhold-below:0.8:p"], p=SURE) is None, "a sure one is given at once"
    between = refer(["refer-below:0.8:p", "withhold-below:0.5:p"], p=UNSURE)
    assert not between.withheld, "sure enough to be given, and marked"
    assert refer(["withhold-below:0.8:p", "person-confirms"], p=SURE).cause == "high_impact"
    assert refer(["withhold-below:0.8:q"], p=SURE).withheld, "no confidence at all"
    assert withholds(["withhold-below:0.5:p"])
    assert withholds(["person-confirms"])
    assert not withholds(["refer-below:0.5:p"])


def test_other_duties_are_nobodys_here():
    duties = ["person-confirms", "refer-below:0.5:p", "withhold-below:0.5:p", "tell-the-regulator"]
    assert fulfilled_by_confirming(duties) == set(duties[:3])


def test_a_withheld_answer_says_where_it_will_be():
    task = uuid4()
    error = AnswerWithheld(task)
    assert error.document()["oversight_task"] == str(task)
    assert dict(error.headers)[b"location"].decode() in error.document()["error"]


def test_limits_are_read_with_and_without_an_output():
    assert limits_of(["refer-below:0.5:p", "person-confirms", "refer-below:0.25:", "refer-below:1:a:b"]) == [
        (0.5, "p"),
        (0.25, ""),
        (1.0, "a:b"),
    ]


@given(arrays("f4", st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(0, 1, width=32)))
def test_exactly_the_rows_below_the_limit_are_referred(table):
    found = referral_of(["refer-below:0.5:p"], {"p": table}, **PLACE)
    below = tuple(number for number, row in enumerate(table, start=1) if row.max() < 0.5)
    assert (found.rows if found else ()) == below
