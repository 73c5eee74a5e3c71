"""The demo's plugins pass the very checks that the review runs; the disguised pickle does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from marketplace.catalog.manifest import read_manifest
from marketplace.catalog.package import pack
from marketplace.catalog.risk import RiskLevel
from marketplace.review.checks.base import CheckContext, CheckStatus, run_check
from marketplace.review.checks.registry import CHECKS
from openclaw_site.demo import plugins, read_digit

Trained = tuple[Path, dict[str, Any]]


def digits_model(trained: Trained, name: str = "digits-small") -> plugins.Trained:
    folder, figures = trained
    return plugins.Trained(folder / f"{name}.onnx", {**figures["digits"], **figures["digits"][name]})


def statuses(folder: Path, archive: Path) -> dict[str, CheckStatus]:
    pack(folder, archive)
    with CheckContext(archive=archive) as context:
        return {check.name: run_check(check, context).status for check in CHECKS}


def test_the_digits_plugin_passes_every_check(trained: Trained, tmp_path: Path) -> None:
    plugins.write_digits(tmp_path / "p", version="1.0.0", author="Acme Vision", model=digits_model(trained))
    found = statuses(tmp_path / "p", tmp_path / "p.zip")
    assert set(found.values()) == {CheckStatus.PASSED}, found
    assert read_manifest(tmp_path / "p").risk().level is RiskLevel.LOW


def test_the_triage_plugin_passes_every_check_and_is_high_risk(trained: Trained, tmp_path: Path) -> None:
    folder, figures = trained
    model = plugins.Trained(folder / "triage.onnx", figures["triage"])
    plugins.write_triage(tmp_path / "p", version="1.0.0", author="Acme Vision", model=model)
    found = statuses(tmp_path / "p", tmp_path / "p.zip")
    assert set(found.values()) == {CheckStatus.PASSED}, found
    risk = read_manifest(tmp_path / "p").risk()
    assert risk.level is RiskLevel.HIGH
    assert risk.high_risk_purpose


def test_a_pickle_called_onnx_is_refused(trained: Trained, tmp_path: Path) -> None:
    plugins.write_digits(tmp_path / "p", version="1.0.0", author="Acme Vision", model=digits_model(trained))
    plugins.disguise_pickle(tmp_path / "p", version="1.0.1")
    assert statuses(tmp_path / "p", tmp_path / "p.zip")["artifact-format"] is CheckStatus.REJECTED


@pytest.mark.parametrize("name", ["digits-small", "digits-better"])
def test_the_exported_model_has_the_accuracy_on_its_card(trained: Trained, name: str) -> None:
    folder, figures = trained
    unseen = np.load(folder / "digits-unseen.npz")
    session = onnxruntime.InferenceSession(str(folder / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    answers = session.run(None, {"image": unseen["inputs"]})[0].argmax(axis=1)
    assert (answers == unseen["labels"]).mean() == pytest.approx(
        figures["digits"][name]["accuracy"], abs=2e-3
    )


def test_the_canary_has_something_to_gain(trained: Trained) -> None:
    digits = trained[1]["digits"]
    assert digits["digits-better"]["accuracy"] > 0.95
    assert digits["digits-better"]["accuracy"] > digits["digits-small"]["accuracy"] + 0.02


def test_the_skill_says_what_it_read() -> None:
    sure = read_digit.run({"probabilities": [0, 0, 0, 0.99, 0, 0, 0, 0.01, 0, 0]})
    assert (sure["digit"], sure["needs_a_person"]) == (3, False)
    unsure = read_digit.run({"probabilities": [0, 0, 0, 0.55, 0, 0, 0, 0.45, 0, 0]})
    assert (unsure["digit"], unsure["runner_up"], unsure["needs_a_person"]) == (3, 7, True)
    assert "7" in unsure["sentence"]


def test_the_skill_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="ten probabilities"):
        read_digit.run({"probabilities": [0] * 10})
