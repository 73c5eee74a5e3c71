"""The dry run: real models, real confinement, and the sentence that the publisher reads."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from marketplace.review.checks import model_dry_run
from marketplace.review.checks.base import CheckContext, CheckOutcome, CheckStatus
from skills.runtime import sandbox
from tests.factories.packages import (
    endless_model,
    files_with,
    good_model,
    huge_model,
    manifest,
    onnx_model,
    safetensors,
    value,
    write_zip,
)

FAST = replace(model_dry_run.LIMITS, wall_s=1.5, cpu_s=1.0)


@pytest.fixture
def dry_run(tmp_path: Path) -> Iterator[Any]:
    def run(
        data: bytes, limits: sandbox.SandboxLimits = model_dry_run.LIMITS, **declared: Any
    ) -> CheckOutcome:
        document = manifest()
        model = document["extensions"]["dev.openclaw"]["models"][0]
        model.update(declared)
        files = files_with({"plugin.json": json.dumps(document), model["artifact"]: data})
        with CheckContext(archive=write_zip(tmp_path / "plugin.zip", files)) as context:
            return model_dry_run.run(context, limits=limits)

    yield run


def texts(outcome: CheckOutcome) -> list[str]:
    return [finding.text() for finding in outcome.findings]


def tensor(name: str, shape: list[int], datatype: str = "FP32") -> list[dict[str, Any]]:
    return [{"name": name, "datatype": datatype, "shape": shape}]


def test_a_good_model_passes_with_its_figures(dry_run: Any) -> None:
    outcome = dry_run(good_model())
    assert (outcome.status, outcome.findings) == (CheckStatus.PASSED, ())
    assert outcome.text() == "Every model loads, has the declared signature and answers."
    figures = outcome.measures["scorer"]
    assert figures["load_s"] > 0 and figures["predict_s"] > 0 and figures["max_rss_bytes"] > 1 << 20


def test_a_wrong_signature_is_told_part_by_part(dry_run: Any) -> None:
    outcome = dry_run(good_model(), inputs=tensor("image", [-1, 4]), outputs=tensor("y", [-1, 5], "FP64"))
    assert outcome.status is CheckStatus.REJECTED
    assert texts(outcome) == [
        "“scorer” has no input “image”; it has: x. Correct plugin.json.",
        "“scorer” needs the input “x”. Declare it in plugin.json.",
        "“y” of “scorer” is declared as FP64 but is FP32. Correct plugin.json.",
        "“y” of “scorer” is declared with shape [-1, 5] but has [-1, 3]. Correct plugin.json.",
    ]


def test_a_fixed_batch_may_not_be_declared_free(dry_run: Any) -> None:
    model = onnx_model([helper.make_node("Relu", ["x"], ["y"])], [value("x", [1, 4])], [value("y", [1, 4])])
    outcome = dry_run(model, inputs=tensor("x", [-1, 4]), outputs=tensor("y", [1, 4]))
    assert texts(outcome) == [
        "“x” of “scorer” is declared with shape [-1, 4] but has [1, 4]. Correct plugin.json."
    ]
    assert (
        dry_run(model, inputs=tensor("x", [1, 4]), outputs=tensor("y", [1, 4])).status is CheckStatus.PASSED
    )


def test_a_graph_without_end_is_stopped(dry_run: Any) -> None:
    outcome = dry_run(endless_model(), FAST, outputs=tensor("y", [-1, 4]))
    assert outcome.status is CheckStatus.REJECTED
    assert texts(outcome) == [
        "“scorer” did not answer within 1 seconds. Look for a loop without end, or make the model smaller."
    ]


def test_a_tensor_of_ten_gigabytes_is_stopped(dry_run: Any) -> None:
    outcome = dry_run(huge_model(), outputs=tensor("y", [1]))
    assert outcome.status is CheckStatus.REJECTED
    assert len(texts(outcome)) == 1
    assert texts(outcome)[0].startswith("“scorer” needs more than 1.0 GiB of memory.")


def test_a_declared_input_of_ten_gigabytes_is_not_tried(dry_run: Any) -> None:
    model = onnx_model(
        [helper.make_node("Relu", ["x"], ["y"])], [value("x", ["n", "m"])], [value("y", ["n", "m"])]
    )
    shape = [-1, 2_500_000_000 // 4 * 4 % 2147483647]
    outcome = dry_run(model, inputs=tensor("x", shape), outputs=tensor("y", [-1, -1]))
    assert "would take 13" in texts(outcome)[0] and texts(outcome)[0].endswith(
        "for one prediction. Make it smaller."
    )


def test_answers_must_be_finite(dry_run: Any) -> None:
    model = onnx_model(
        [helper.make_node("Div", ["x", "x"], ["y"])], [value("x", ["n", 4])], [value("y", ["n", 4])]
    )
    outcome = dry_run(model, outputs=tensor("y", [-1, 4]))
    assert texts(outcome) == ["“y” of “scorer” is not a number or infinite for an input of zeros."]


def test_a_model_that_cannot_predict(dry_run: Any) -> None:
    indices = {"i": np.array([99], np.int64)}
    model = onnx_model(
        [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
        [value("x", ["n", "m"])],
        [value("y", ["n", 1])],
        indices,
    )
    outcome = dry_run(model, inputs=tensor("x", [-1, -1]), outputs=tensor("y", [-1, 1]))
    assert texts(outcome)[0].startswith(
        "“scorer” cannot predict on zeros of the declared shape: [ONNXRuntimeError]"
    )


@pytest.mark.parametrize("data", [b"", b"text", pickle.dumps({"a": 1}), good_model()[:60]])
def test_what_cannot_be_loaded(dry_run: Any, data: bytes) -> None:
    outcome = dry_run(data)
    assert outcome.status is CheckStatus.REJECTED
    assert texts(outcome)[0].startswith("ONNX Runtime cannot load “scorer”: ")


def test_text_inputs_and_free_sizes(dry_run: Any) -> None:
    from onnx import TensorProto

    model = onnx_model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", ["n", "m"], TensorProto.STRING)],
        [value("y", ["n", "m"], TensorProto.STRING)],
    )
    text = {"inputs": tensor("x", [-1, -1], "BYTES"), "outputs": tensor("y", [-1, -1], "BYTES")}
    assert dry_run(model, **text).status is CheckStatus.PASSED


def stored(values: np.ndarray, dtype: str) -> bytes:
    data = values.tobytes()
    return safetensors(
        {"w": {"dtype": dtype, "shape": list(values.shape), "data_offsets": [0, len(data)]}}, data
    )


WEIGHTS = {"artifact": "models/model.safetensors", "format": "safetensors"}


def test_weights_are_read_and_the_missing_graph_is_said(dry_run: Any) -> None:
    outcome = dry_run(stored(np.ones((3, 2), np.float32), "F32"), **WEIGHTS)
    assert outcome.status is CheckStatus.PASSED
    assert texts(outcome) == ["“scorer” holds weights without a graph, so its signature cannot be tried."]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([1, np.nan], np.float32), "F32"),
        (np.array([1, np.inf], np.float16), "F16"),
        (np.array([0x3F80, 0x7FC0], np.uint16), "BF16"),
        (np.array([1, 0x7F], np.uint8), "F8_E4M3"),
    ],
)
def test_weights_must_be_finite(dry_run: Any, values: np.ndarray, dtype: str) -> None:
    outcome = dry_run(stored(values, dtype), **WEIGHTS)
    assert outcome.status is CheckStatus.REJECTED
    assert texts(outcome)[0] == "The tensor “w” of “scorer” has values that are no numbers or infinite."


def test_without_a_sandbox_the_dry_run_is_an_error(dry_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sandbox, "_probe", (float("inf"), sandbox.Probe(ok=False, tier="none", reason="not here"))
    )
    outcome = dry_run(good_model())
    assert outcome.status is CheckStatus.ERROR
    assert outcome.text() == (
        "The confined process for the dry run did not start on our side. Your plugin was not tried; it will be run "
        "again."
    )
    assert outcome.measures["scorer"]["reason"] == "not here"
