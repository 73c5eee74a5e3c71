"""Model repositories on disk for tests."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub


def put(root: Path, name: str, version: str, *, factor: float = 1.0) -> ArmStub:
    """Write the version `factor * x` of an endpoint."""
    folder = root / name / version
    folder.mkdir(parents=True, exist_ok=True)
    return place(onnx_models.affine(folder, factor=factor, version=version))


def place(arm: ArmStub) -> ArmStub:
    """Give an artifact the name that it has in a repository."""
    arm.artifact_path.rename(arm.artifact_path.with_name("model.onnx"))
    return arm


def declare(root: Path, name: str, **document: Any) -> None:
    """Write `endpoint.yaml`, in one step."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".endpoint.yaml"
    draft.write_text(yaml.safe_dump(document))
    draft.rename(folder / "endpoint.yaml")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
