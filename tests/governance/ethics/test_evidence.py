"""Evidence: what is accepted, what is refused and why, and an evaluation by Fairlearn on real data."""

from __future__ import annotations

import copy
import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.errors import InvalidInput, TooLarge
from governance.ethics.evidence import RATES, SMALL_GROUP, digest_of, disparity, summarize
from openclaw_site.cli.fairness import EvaluationError, Predictions, evaluate, read_predictions
from tests.factories.marketplace import EVIDENCE


def text(document):
    return document if isinstance(document, str) else json.dumps(document)


def changed(path, value):
    made = copy.deepcopy(EVIDENCE["evaluation"])
    part = made
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return text(made)


def test_good_documents_are_summed_up():
    assert summarize("model_card", EVIDENCE["model_card"])["sections"][1] == "Intended use"
    evaluation = summarize("evaluation", text(EVIDENCE["evaluation"]))
    assert (evaluation["rows"], evaluation["small_groups"]) == (100, [])
    assert summarize("oversight_plan", text(EVIDENCE["oversight_plan"]))["overseers"] == ["pathologist"]


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("disparities", "accuracy", "difference"), 0.0, "/disparities/accuracy/difference"),
        (("disparities", "selection_rate", "ratio"), 0.99, "/disparities/selection_rate/ratio"),
        (("disparities", "false_negative_rate", "ratio"), None, "/disparities/false_negative_rate/ratio"),
        (("groups", 0, "n"), 61, "/groups"),
        (("groups", 1, "group"), "north", "/groups"),
        (("groups", 1, "accuracy"), 1.2, "/groups/1/accuracy"),
        (("data", "sha256"), "short", "/data/sha256"),
        (("format",), "other", "/format"),
        (("groups",), [], "/groups"),
    ],
)
def test_an_evaluation_that_does_not_add_up_is_refused_with_the_place(path, value, pointer):
    with pytest.raises(InvalidInput) as refused:
        summarize("evaluation", changed(path, value))
    assert pointer in [error["pointer"] for error in refused.value.errors]


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": NaN}',
        "[" * 50_000,
        '{"format": "openclaw-evaluation-1"}',
        "\ufeff{}",
    ],
)
def test_what_is_no_evaluation_is_refused(document):
    with pytest.raises(InvalidInput):
        summarize("evaluation", document)


@pytest.mark.parametrize("can", [[], ["stop"], ["override"], ["override", "stop", "shout"]])
def test_an_overseer_who_cannot_override_and_stop_oversees_nothing(can):
    with pytest.raises(InvalidInput):
        summarize("oversight_plan", text(EVIDENCE["oversight_plan"] | {"can": can}))


def test_a_card_names_what_it_lacks_in_either_language():
    with pytest.raises(InvalidInput) as refused:
        summarize("model_card", "# Card\n## Data\nSome.\n")
    assert [error["pointer"] for error in refused.value.errors] == [
        "/intended use", "/evaluation", "/limitations", "/licence",
    ]  # fmt: skip
    summarize("model_card", "## 用途\n\n## 数据\n\n## 评估\n\n## 局限\n\n## 许可\n")


def test_limits_and_unknown_kinds():
    with pytest.raises(TooLarge):
        summarize("model_card", "x" * (256 * 1024 + 1))
    with pytest.raises(InvalidInput):
        summarize("opinion", "text")
    with pytest.raises(InvalidInput):
        summarize("model_card", EVIDENCE["model_card"] + "\x00")


@given(st.text(max_size=300))
@settings(deadline=None)
def test_no_text_breaks_a_reader(document):
    for kind in ("model_card", "evaluation", "oversight_plan"):
        try:
            summarize(kind, document)
        except InvalidInput as error:
            assert error.errors or "text" in str(error)
    assert len(digest_of(document)) == 64


@pytest.fixture(scope="module")
def real():
    """Predictions of a logistic regression on the Wisconsin data, in three groups by the size of the nucleus."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(rows, labels, test_size=0.4, random_state=1)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train_x, train_y)
    bins = np.digitize(test_x[:, 0], np.quantile(train_x[:, 0], [1 / 3, 2 / 3]))
    groups = np.array(["small", "medium", "large"])[bins]
    return test_y, model.predict(test_x), groups


def predictions(truth, predicted, groups):
    return Predictions(
        [str(v) for v in truth], [str(v) for v in predicted], list(groups), "rows", "d" * 64, "size"
    )


def test_an_evaluation_by_fairlearn_is_what_numpy_says_and_is_accepted(real):
    truth, predicted, groups = real
    found = evaluate(predictions(*real), positive="0", model="triage 1")
    for line in found["groups"]:
        here = groups == line["group"]
        positive, chosen = truth[here] == 0, predicted[here] == 0
        assert line["n"] == here.sum()
        assert math.isclose(line["accuracy"], (positive == chosen).mean())
        assert math.isclose(line["selection_rate"], chosen.mean())
        assert math.isclose(line["false_positive_rate"], chosen[~positive].mean())
        assert math.isclose(line["false_negative_rate"], 1 - chosen[positive].mean())
    accuracies = [line["accuracy"] for line in found["groups"]]
    assert math.isclose(found["disparities"]["accuracy"]["difference"], max(accuracies) - min(accuracies))
    summary = summarize("evaluation", json.dumps(found))
    assert {group["group"] for group in summary["groups"]} == {"small", "medium", "large"}


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_whatever_the_rows_are_the_site_accepts_what_the_tool_writes(data):
    count = data.draw(st.integers(2, 60))
    column = st.lists(st.sampled_from("01"), min_size=count, max_size=count)
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    groups[:2] = ["a", "b"]
    truth, predicted = data.draw(column), data.draw(column)
    truth[0] = "1"
    found = evaluate(predictions(truth, predicted, groups), positive="1")
    summary = summarize("evaluation", json.dumps(found))
    assert summary["small_groups"] == [g["group"] for g in found["groups"] if g["n"] < SMALL_GROUP]
    for rate in RATES:
        told, again = found["disparities"][rate], disparity([g[rate] for g in found["groups"]])
        assert (told["difference"] is None) == (again["difference"] is None)


def test_the_command_reads_a_file_and_writes_evidence(real, tmp_path):
    from openclaw_site.cli import main

    source, out = tmp_path / "predictions.csv", tmp_path / "evaluation.json"
    with source.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["y", "said", "size"])
        writer.writerows(zip(*real, strict=True))
    arguments = ["ethics", "evaluate", "--predictions", str(source), "--truth", "y", "--prediction", "said"]
    done = CliRunner().invoke(main, [*arguments, "--group", "size", "--positive", "0", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "largest difference" in done.output
    assert summarize("evaluation", out.read_text())["data"] == "predictions.csv"
    wrong = CliRunner().invoke(main, [*arguments, "--group", "age", "--out", str(out)])
    assert wrong.exit_code == 1
    assert "no column “age”; it has y, said, size" in wrong.output


def test_files_that_cannot_be_evaluated_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    for content, message in (
        (b"", "no rows"), (b"y,p,g\n", "no rows"), (b"\xff\xfe", "UTF-8"), (b"y,p,g\n1,1,\n", "line 2"),
        (b'y,p,g\n"1,1,a', "no CSV"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(EvaluationError, match=message):
            read_predictions(path, truth="y", prediction="p", group="g")
    with pytest.raises(EvaluationError, match="two groups"):
        evaluate(predictions("01", "01", "aa"), positive="1")
    with pytest.raises(EvaluationError, match="No row"):
        evaluate(predictions("01", "01", "ab"), positive="yes")


def test_without_fairlearn_the_command_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "fairlearn.metrics", None)
    with pytest.raises(EvaluationError, match=r"requirements-train\.lock"):
        evaluate(predictions("01", "01", "ab"), positive="1")
