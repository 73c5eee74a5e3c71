"""The questionnaires as data: pinned, checked by their schema, and leading to a class of risk."""

from __future__ import annotations

import itertools

import pytest
import yaml
from django.http import QueryDict
from django.utils import translation
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import InvalidInput
from governance.ethics.questionnaires import (
    ACCEPTED,
    CLASSES,
    CURRENT,
    QUESTIONNAIRES,
    QuestionnaireError,
    answers_from_form,
    assess,
    checked,
    form_of,
    parse,
)
from governance.ethics.questionnaires.loading import FOLDER
from marketplace.catalog.risk import HIGH_RISK_PURPOSES
from tests.factories.marketplace import ANSWERS, OLD_ANSWERS

# A published version never changes: approvals refer to it. A new set of questions is a new file and a new line.
PUBLISHED = {
    "ai-act-1": "7a1c85fc47c3b1b44dccd01d158ffb070cc11b6c87cf946260d3b81622118430",
    "ai-act-2": "b9353e503d6db8a8d12e5639dcbc137a6b11c235b411842107b4d7f15921397a",
}


def document():
    return yaml.safe_load((FOLDER / "ai-act-2.yaml").read_text(encoding="utf-8"))


def test_published_versions_have_not_changed():
    assert {version: made.digest for version, made in QUESTIONNAIRES.items()} == PUBLISHED
    assert CURRENT.version in ACCEPTED <= set(PUBLISHED)


def test_every_question_is_in_both_languages_and_mapped_to_every_framework():
    for made in QUESTIONNAIRES.values():
        for question in made.questions:
            for words in (question.text, question.help, *(option.text for option in question.options)):
                with translation.override("zh-hans"):
                    chinese = str(words)
                with translation.override("fr"):
                    assert str(words) != chinese
            assert all(question.frameworks[name] for name in ("eu_ai_act", "nist_ai_rmf", "iso_42001"))


def test_every_purpose_that_a_manifest_can_declare_as_high_risk_is_high_without_any_other_reason():
    answers = ANSWERS | {"annex_i_product": "no"}
    for purpose in HIGH_RISK_PURPOSES:
        assert assess(CURRENT, answers, purpose=purpose).risk_class == "high", purpose
    assert assess(CURRENT, answers, purpose="document-digitisation").risk_class == "minimal"


AREA = {"annex_iii_areas": ["credit"], "annex_i_product": "no"}


@pytest.mark.parametrize(
    ("change", "risk_class", "rule"),
    [
        ({"prohibited_practices": ["crime-prediction", "face-scraping"]}, "prohibited", "crime-prediction"),
        ({"annex_i_product": "yes"}, "high", "regulated-product"),
        (AREA | {"profiling": "yes"}, "high", "annex-iii-profiling"),
        (AREA | {"profiling": "no", "narrow_task": "none"}, "high", "annex-iii"),
        (AREA | {"profiling": "no", "narrow_task": "procedural"}, "limited", "narrow-task"),
        ({"annex_i_product": "no", "transparency": ["talks"]}, "limited", "talks"),
        ({"annex_i_product": "no", "transparency": ["deep-fake"]}, "limited", "deep-fake"),
        ({"annex_i_product": "no"}, "minimal", None),
    ],
)
def test_the_class_follows_from_the_answers_and_says_why(change, risk_class, rule):
    risk = assess(CURRENT, ANSWERS | change, purpose="other")
    assert risk.risk_class == risk_class
    assert (risk.because[0].rule if risk.because else None) == rule
    assert all(because.article.startswith("Art. ") for because in risk.because)


def test_profiling_ends_the_exception_for_narrow_tasks():
    """Article 6(3), last subparagraph: whoever profiles is high-risk, whatever the task is called."""
    lying = (
        ANSWERS
        | AREA
        | {"profiling": "yes", "narrow_task": "procedural", "narrow_task_reason": "It is small."}
    )
    kept = checked(lying | {"appeal": "By letter to the bank.", "fundamental_rights": "Equal treatment."})
    assert "narrow_task" not in kept.given, "the question was not asked"
    assert assess(CURRENT, kept.given, purpose="other").risk_class == "high"


def test_a_stricter_answer_never_makes_the_class_milder():
    pieces = [
        {"annex_i_product": "yes"}, {"transparency": ["talks"]}, {"prohibited_practices": ["manipulation"]},
        {"annex_iii_areas": ["justice"], "profiling": "yes"},
    ]  # fmt: skip
    base = ANSWERS | {"annex_i_product": "no"}
    for first, second in itertools.permutations(pieces, 2):
        alone = assess(CURRENT, base | first, purpose="other").risk_class
        both = assess(CURRENT, base | first | second, purpose="other").risk_class
        assert CLASSES.index(both) >= CLASSES.index(alone)


def test_conditional_questions_are_asked_only_when_they_apply():
    plain = checked(ANSWERS)
    assert {"profiling", "appeal", "data_basis"}.isdisjoint(q.id for q in plain.asked)
    with pytest.raises(InvalidInput) as refused:
        checked(ANSWERS | {"annex_iii_areas": ["credit"], "data_categories": ["personal"]})
    assert [e["pointer"].rpartition("/")[2] for e in refused.value.errors] == [
        "profiling", "data_basis", "appeal", "fundamental_rights",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("people_per_month", "400"), ("people_per_month", -1), ("people_per_month", True),
        ("people_per_month", 1.5), ("automation", "somebody"), ("automation", ["advises"]),
        ("transparency", []), ("transparency", "talks"), ("transparency", ["none", "talks"]),
        ("transparency", [["talks"]]), ("risks", "short"), ("risks", "x" * 4001), ("risks", None),
        ("answers_are_true", "yes"),
    ],
)  # fmt: skip
def test_an_answer_of_the_wrong_kind_is_named(name, answer):
    with pytest.raises(InvalidInput) as refused:
        checked(ANSWERS | {name: answer})
    assert [error["pointer"] for error in refused.value.errors] == [f"/questionnaire/{name}"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([q.id for q in CURRENT.questions] + ["version", "answers"]), _json))
@settings(max_examples=150, deadline=None)
def test_any_json_is_either_refused_precisely_or_accepted_whole(answers):
    try:
        found = checked(answers)
    except InvalidInput as error:
        assert error.errors or "questionnaire" in str(error)
    else:
        assert {q.id for q in found.asked} == set(found.given)


def test_the_form_gives_back_what_was_sent():
    sent = QueryDict(mutable=True)
    for name, value in (ANSWERS | {"transparency": ["talks", "synthetic"]}).items():
        values = value if isinstance(value, list) else ["yes"] if value is True else [str(value)]
        sent.setlist(f"q-{name}", values)
    found = answers_from_form(sent)
    assert {k: v for k, v in found["answers"].items() if v not in ("", [])} == ANSWERS | {
        "transparency": ["talks", "synthetic"]
    }
    shown = {q["id"]: q for section in form_of(sent) for q in section["questions"]}
    assert [o["id"] for o in shown["transparency"]["options"] if o["chosen"]] == ["talks", "synthetic"]
    assert answers_from_form(QueryDict("q-risks=+&other=1")) is None


def test_the_first_version_is_still_readable():
    assert checked({"version": "ai-act-1", "answers": OLD_ANSWERS}).given == OLD_ANSWERS


def broken(**change):
    made = document()
    made.update(change)
    return yaml.safe_dump(made).encode()


def test_a_file_that_contradicts_itself_is_refused_with_the_place():
    made = document()
    made["sections"][0]["questions"][0]["when"] = {"question": "risks", "includes": ["none"]}
    with pytest.raises(QuestionnaireError, match="intended_use depends on risks"):
        parse(yaml.safe_dump(made).encode())
    made = document()
    made["risk"][0]["when"] = {"question": "transparency", "includes": ["no-such-option"]}
    with pytest.raises(QuestionnaireError, match="no-such-option"):
        parse(yaml.safe_dump(made).encode())
    made = document()
    made["sections"].append(made["sections"][0])
    with pytest.raises(QuestionnaireError, match="there twice"):
        parse(yaml.safe_dump(made).encode())
    made = document()
    del made["sections"][1]["questions"][0]["text"]["zh-hans"]
    with pytest.raises(QuestionnaireError, match="zh-hans"):
        parse(yaml.safe_dump(made).encode())
    for data in (b"{", b"[]", b"", broken(version="A b"), broken(risk=[])):
        with pytest.raises(QuestionnaireError):
            parse(data)
