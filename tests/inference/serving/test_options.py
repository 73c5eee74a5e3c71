"""How the installation's settings reach the runtimes, and what a mistake in them says at the start."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from inference.serving.checks import check_execution_providers, check_remote_credentials
from inference.serving.options import MIB, ServingOptions
from inference.serving.runtime import LoadError, OnnxOptions, OnnxRuntime
from inference.serving.runtimes import Runtimes
from inference.serving.signature import Signature
from openclaw_site.config import Config, ConfigError
from tests.factories import onnx_models


def configured(**variables: str) -> dict[str, Any]:
    return asdict(
        Config.from_environ({f"OPENCLAW_{name}": value for name, value in variables.items()}).serving
    )


def test_the_defaults_are_the_safe_ones() -> None:
    options = ServingOptions.of(configured())
    assert options.onnx == OnnxOptions(("CPUExecutionProvider",), 1)
    assert (options.isolated, options.trial, options.model_memory_bytes) == (False, True, 0)
    assert options.remote.hosts == frozenset()
    assert not options.remote.allow_http


def test_every_variable_reaches_its_option(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("triton:8000 t")
    options = ServingOptions.of(
        configured(
            EXECUTION_PROVIDERS="CUDA, CPUExecutionProvider",
            MODEL_THREADS="4",
            MODEL_ISOLATION="process",
            MODEL_TRIAL="off",
            MODEL_CHILD_MEMORY_MB="1024",
            MODEL_MEMORY_MB="2048",
            LATENCY_OBJECTIVE_MS="150",
            REMOTE_INFERENCE_HOSTS="triton:8000, kserve:443",
            REMOTE_INFERENCE_CREDENTIALS_FILE=str(credentials),
            REMOTE_INFERENCE_TLS="optional",
        )
    )
    assert options.onnx == OnnxOptions(("CUDAExecutionProvider", "CPUExecutionProvider"), 4)
    assert (options.isolated, options.trial, options.objective_s) == (True, False, 0.15)
    assert options.child.address_space_bytes == 1024 * MIB
    assert options.model_memory_bytes == 2048 * MIB
    assert options.remote.hosts == {"triton:8000", "kserve:443"}
    assert options.remote.credentials_file == credentials
    assert options.remote.allow_http


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODEL_ISOLATION", "container"),
        ("MODEL_TRIAL", "maybe"),
        ("MODEL_THREADS", "0"),
        ("LATENCY_OBJECTIVE_MS", "fast"),
        ("REMOTE_INFERENCE_CREDENTIALS_FILE", "/nowhere"),
    ],
)
def test_a_value_that_cannot_work_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"OPENCLAW_{name}"):
        configured(**{name: value})


def test_a_missing_execution_provider_is_an_error_at_the_start(settings: Any) -> None:
    settings.OPENCLAW_SERVING = configured()
    assert check_execution_providers() == []
    settings.OPENCLAW_SERVING = configured(EXECUTION_PROVIDERS="QNN,CPU")
    (error,) = check_execution_providers()
    assert error.id == "serving.E001"
    assert "QNN" in error.msg
    assert "CPU" in str(error.hint)


def test_and_never_a_silent_step_down_at_load(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    with pytest.raises(LoadError, match="QNNExecutionProvider"), pytest.warns(UserWarning, match="QNN"):
        OnnxRuntime.load(
            arm.artifact_path,
            sha256=arm.sha256,
            signature=Signature.declared(arm.inputs, arm.outputs),
            options=OnnxOptions(("QNNExecutionProvider", "CPUExecutionProvider")),
        )


def test_credentials_that_others_can_read_are_an_error(settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("triton:443 t")
    for mode, found in ((0o600, 0), (0o640, 1), (0o604, 1)):
        file.chmod(mode)
        settings.OPENCLAW_SERVING = configured(REMOTE_INFERENCE_CREDENTIALS_FILE=str(file))
        assert len(check_remote_credentials()) == found


def test_a_format_without_a_runtime_is_refused(tmp_path: Path) -> None:
    arm = onnx_models.affine(tmp_path)
    with pytest.raises(LoadError, match="no runtime here loads the format pickle"):
        Runtimes().load(replace(arm, format="pickle"), Signature.declared(arm.inputs, arm.outputs))
