"""The artifacts that come with the product: their bytes, their cards, and the figures that are claimed of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from governance.ethics.evidence import summarize
from inference.capabilities.catalogue import FOLDER, TITLES, capabilities
from inference.serving.patterns import PatternRuntime
from inference.serving.runtime import ON_ONE_CPU_THREAD, OnnxRuntime, PredictError
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from tests.factories.onnx_models import ArmStub

HELD_OUT = Path(__file__).with_name("held_out")
MOST_BYTES = 5 * 1024 * 1024
NAMES = ["embedding", "intent", "sentiment", "language", "pii", "garments", "defects"]
TEXT = ["embedding", "intent", "sentiment", "language"]
CLASSES = ["intent", "sentiment", "language"]


def signature(name):
    found = capabilities()[name]
    return Signature.declared(found.inputs, found.outputs)


def runtime(name):
    found = capabilities()[name]
    if found.format == "patterns":
        return PatternRuntime.load(found.artifact, sha256=found.sha256, signature=signature(name))
    return OnnxRuntime.of(found.artifact.read_bytes(), signature=signature(name), options=ON_ONE_CPU_THREAD)


def texts(*values):
    found = np.empty(len(values), dtype=object)
    found[:] = [value if isinstance(value, bytes) else value.encode() for value in values]
    return {"text": found}


def sample(name):
    path = HELD_OUT / f"{name}.json"
    return json.loads(path.read_text("utf-8"))


def test_all_are_there_and_small():
    assert list(capabilities()) == NAMES == list(TITLES)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MOST_BYTES


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_are_those_that_were_measured(name):
    found = capabilities()[name]
    assert hashlib.sha256(found.artifact.read_bytes()).hexdigest() == found.sha256


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_one_that_the_ethics_office_takes_and_has_every_figure(name):
    found = capabilities()[name]
    summarize("model_card", found.card)
    for figure, value in found.figures.items():
        assert f"| {figure} | {value} |" in found.card


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_as_the_site_loads_it_and_rows_do_not_mix(name):
    found = capabilities()[name]
    arm = ArmStub(
        found.version,
        found.artifact,
        found.sha256,
        tuple(found.inputs),
        tuple(found.outputs),
        format=found.format,
    )
    loaded = Runtimes().load(arm, signature(name))
    try:
        assert loaded.rows_are_independent()
    finally:
        loaded.close()


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_told_as_the_card_says(name):
    """The sample is every n-th of the rows that were held out, so that its accuracy lies about the whole's."""
    rows, found = sample(name), capabilities()[name]
    answers = runtime(name).predict(texts(*rows["text"]))
    right = np.mean([a == b for a, b in zip(answers["label"], rows["label"], strict=True)])
    spread = 3 * (found.figures["accuracy"] * (1 - found.figures["accuracy"]) / len(rows["text"])) ** 0.5
    assert len(rows["text"]) > 250
    assert abs(right - found.figures["accuracy"]) < spread
    np.testing.assert_allclose(answers["probabilities"].sum(axis=1), 1, atol=1e-4)
    assert [found.classes[i] for i in answers["probabilities"].argmax(axis=1)] == list(answers["label"])


def test_garments_are_told_as_the_card_says():
    found = capabilities()["garments"]
    with np.load(HELD_OUT / "garments.npz") as rows:
        images, labels = rows["image"], rows["label"]
    answers = runtime("garments").predict({"image": images})
    right = (answers["probabilities"].argmax(axis=1) == labels).mean()
    spread = 3 * (found.figures["accuracy"] * (1 - found.figures["accuracy"]) / len(labels)) ** 0.5
    assert abs(right - found.figures["accuracy"]) < spread
    assert [found.classes[i] for i in answers["probabilities"].argmax(axis=1)] == list(answers["label"])


def test_defects_are_located_on_a_surface_that_was_never_seen():
    with np.load(HELD_OUT / "defects.npz") as rows:
        images, masks = rows["image"], rows["mask"]
    answers = runtime("defects").predict({"image": images})
    claimed = capabilities()["defects"].figures["unseen pixel AUROC"]
    assert roc_auc_score(masks.ravel(), answers["heat"].ravel()) > claimed - 0.05
    damaged = masks.any(axis=(1, 2))
    assert answers["score"][damaged].mean() > answers["score"][~damaged].mean()


def test_translations_are_near_each_other():
    rows, model = sample("embedding"), runtime("embedding")
    chinese = model.predict(texts(*rows["zh"]))["embedding"]
    english = model.predict(texts(*rows["en"]))["embedding"]
    np.testing.assert_allclose(np.linalg.norm(chinese, axis=1), 1, atol=1e-4)
    similar = chinese @ english.T
    rank = (similar > np.diag(similar)[:, None]).sum(axis=1)
    figures = capabilities()["embedding"].figures
    (claimed,) = [v for k, v in figures.items() if k.startswith("translated messages: among ten")]
    assert (rank < 10).mean() == pytest.approx(claimed, abs=0.01)


def test_alike_is_nearer_than_unlike():
    model = runtime("embedding")
    a, b, c = model.predict(
        texts("turn off the lamp in the kitchen", "switch the kitchen light off", "what a boring film")
    )["embedding"]
    assert a @ b > a @ c + 0.2


@pytest.mark.parametrize("name", TEXT)
@pytest.mark.parametrize(
    "given", ["", " ", "\n\t", "\x02", "é" * 10, "🙂" * 50, "中" * 300_000, "x" * 1_000_000]
)
def test_any_text_gets_an_answer_of_the_declared_form(name, given):
    found = capabilities()[name]
    answers = runtime(name).predict(texts(given, "a text beside it"))
    for output in found.outputs:
        assert answers[output["name"]].shape[0] == 2
        if output["datatype"] == "FP32":
            assert np.isfinite(answers[output["name"]]).all()


@pytest.mark.parametrize("name", TEXT)
def test_what_stands_after_two_thousand_characters_is_not_read(name):
    model, text = runtime(name), "A good book, 很好看. " * 200
    outputs = model.predict(texts(text[:1_999], text[:1_999] + "terrible 太差了 " * 50))
    first, second = outputs.get("probabilities", outputs.get("embedding"))
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("name", [*TEXT, "pii"])
def test_what_is_no_utf8_is_the_callers_mistake(name):
    with pytest.raises(PredictError) as caught:
        runtime(name).predict(texts(b"\xff\xfe\x00"))
    assert caught.value.invalid_input
