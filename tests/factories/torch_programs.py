"""Small torch-exported programs for tests, and archives that are none."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from inference.serving.torch_program import parse
from tests.factories.onnx_models import ArmStub

Edit = Callable[[dict[str, bytes]], None]


def export(module: torch.nn.Module, *example: torch.Tensor, batch: bool = True) -> bytes:
    """The archive that `torch.export.save` writes, by default with a first dimension that may vary."""
    sizes = ({0: torch.export.Dim.AUTO},) * len(example) if batch else None
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), example, dynamic_shapes=sizes)
        torch.export.save(program, file)
    return file.getvalue()


def arm(folder: Path, archive: bytes, *names: str) -> ArmStub:
    """The archive behind an endpoint, with the signature that it has; `names` are those of its outputs."""
    path = folder / "program.pt2"
    path.write_bytes(archive)
    program = parse(archive)
    outputs = [dict(output) for output in program.outputs]
    for output, name in zip(outputs, names, strict=False):
        output["name"] = name
    return ArmStub(
        "1.0.0",
        path,
        hashlib.sha256(archive).hexdigest(),
        program.inputs,
        tuple(outputs),
        format="torch-export",
    )


def edited(archive: bytes, edit: Edit, *, compress: bool = False) -> bytes:
    """The archive with other members."""
    with zipfile.ZipFile(io.BytesIO(archive)) as given:
        members = {name.partition("/")[2]: given.read(name) for name in given.namelist()}
    edit(members)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as made:
        for name, content in members.items():
            made.writestr(f"program/{name}", content)
    return file.getvalue()


def with_graph(archive: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The archive with another `models/model.json`."""

    def edit(members: dict[str, bytes]) -> None:
        document = json.loads(members["models/model.json"])
        change(document)
        members["models/model.json"] = json.dumps(document).encode()

    return edited(archive, edit)
