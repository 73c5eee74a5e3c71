"""The check of the formats: what a file is by its bytes, and what a model reaches outside of itself."""

from __future__ import annotations

import io
import json
import pickle
import py_compile
import tempfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from marketplace.review.checks.base import CheckStatus
from marketplace.review.checks.contents import dangerous_kind
from marketplace.review.checks.onnxfile import NotONNX, read_structure
from marketplace.review.checks.safetensorsfile import NotSafetensors, read_tensors
from tests.factories.packages import (
    RunCheck,
    check_package,
    good_model,
    manifest,
    onnx_model,
    safetensors,
    texts_of,
    value,
    zip_bytes,
)

Files = Mapping[str, bytes | str | None]


@pytest.fixture
def check(tmp_path: Path) -> RunCheck:
    return partial(check_package, tmp_path)


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("owned",))


def bytecode(tmp_path: Path) -> bytes:
    source = tmp_path / "m.py"
    source.write_text("x = 1")
    return Path(py_compile.compile(str(source), cfile=str(tmp_path / "m.bin"), doraise=True)).read_bytes()


def numpy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


DISGUISES = {
    "pickle": (pickle.dumps(Evil()), "a Python pickle (also used by joblib and by old PyTorch files)"),
    "pickle-text": (
        pickle.dumps(Evil(), protocol=0),
        "a Python pickle (also used by joblib and by old PyTorch files)",
    ),
    "joblib-zlib": (
        zlib.compress(pickle.dumps(Evil())),
        "a Python pickle (also used by joblib and by old PyTorch files)",
    ),
    "numpy-objects": (numpy_bytes(np.array([Evil()], dtype=object)), "a NumPy array of Python objects"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file (Keras .h5)"),
    "elf": (b"\x7fELF" + bytes(100), "a Linux program or library"),
    "pe": (
        b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(50),
        "a Windows program or library",
    ),
    "macho": (b"\xcf\xfa\xed\xfe" + bytes(100), "a macOS program or library, or Java bytecode"),
    "wasm": (b"\0asm\x01\0\0\0", "a WebAssembly program"),
}


@pytest.mark.parametrize("kind", DISGUISES)
def test_code_in_disguise(check: RunCheck, kind: str) -> None:
    data, called = DISGUISES[kind]
    outcome = check("artifact-format", {"models/model.onnx": data})
    assert outcome.status is CheckStatus.REJECTED
    assert texts_of(outcome) == [
        f"“models/model.onnx” is {called}, which can run code when it is opened. Export the model as ONNX or "
        "safetensors and remove this file."
    ]


def test_bytecode_and_torch_files_are_known_by_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytecode(tmp_path))
    assert dangerous_kind(path) == "bytecode"
    path.write_bytes(zip_bytes({"archive/data.pkl": pickle.dumps(Evil())}))
    assert dangerous_kind(path) == "zip"


@pytest.mark.parametrize(
    "data",
    [
        b"", b".", b"I.", b"Some words that end in a dot.", b"{\"a\": 1}", b"# Card\n\nN.\n", b"(.", b"S'x'\n.",
        numpy_bytes(np.zeros(3)), b"\x89PNG\r\n\x1a\n" + bytes(64), "文字。".encode(), b"x\x9cnot zlib",
    ],
)  # fmt: skip
def test_harmless_bytes_are_left_alone(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert dangerous_kind(path) == ""


def external_model() -> bytes:
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[4, 3], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="../../../etc/passwd")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [value("x", ["b", 4])],
        [value("y", ["b", 3])],
        [tensor],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def test_models_that_reach_outside_of_their_file(check: RunCheck) -> None:
    outcome = check("artifact-format", {"models/model.onnx": external_model()})
    assert texts_of(outcome) == [
        "“models/model.onnx” keeps data outside of itself, in “../../../etc/passwd”. Save the model with all data in "
        "one file."
    ]


def test_operators_that_are_not_built_in(check: RunCheck) -> None:
    model = onnx_model(
        [helper.make_node("Steal", ["x"], ["y"], domain="evil.ops")],
        [value("x", ["b", 4])],
        [value("y", ["b", 4])],
        domains=("evil.ops",),
    )
    assert texts_of(check("artifact-format", {"models/model.onnx": model})) == [
        "“models/model.onnx” uses operators that ONNX Runtime does not have: evil.ops.Steal. Export it with standard "
        "operators only."
    ]


def test_operators_inside_of_branches_are_seen(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Steal", ["x"], ["z"], domain="evil.ops")], "inner", [], [value("z", [4])]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    path = tmp_path / "m.onnx"
    path.write_bytes(
        onnx_model([node], [value("c", [], TensorProto.BOOL)], [value("y", [4])], domains=("evil.ops",))
    )
    assert ("evil.ops", "Steal") in read_structure(path).operators


def test_what_is_not_onnx(check: RunCheck) -> None:
    outcome = check("artifact-format", {"models/model.onnx": b"just some text"})
    assert outcome.status is CheckStatus.REJECTED
    assert texts_of(outcome)[0].startswith("“models/model.onnx” is not an ONNX model: ")


def with_safetensors(data: bytes) -> Files:
    document = manifest()
    model = document["extensions"]["dev.openclaw"]["models"][0]
    model.update(artifact="models/model.safetensors", format="safetensors")
    return {"plugin.json": json.dumps(document), "models/model.onnx": None, "models/model.safetensors": data}


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" * 9, "its header is longer than the file or than 8 MiB"),
        ((1 << 40).to_bytes(8, "little") + b"{}", "its header is longer than the file or than 8 MiB"),
        (safetensors({"a": entry([4], 0, 12)}, bytes(12)), "the entry of 'a' is not valid"),
        (
            safetensors({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
            "the data of 'b' overlaps or leaves a hole",
        ),
        (safetensors({"a": entry([2], 0, 8)}, bytes(100)), "it has bytes that belong to no tensor, or too few"),
        (safetensors({"a": entry([2], 0, 8)}, bytes(4)), "it has bytes that belong to no tensor, or too few"),
        (safetensors({}, b""), "it has no tensor or too many"),
    ],
)  # fmt: skip
def test_bad_safetensors(check: RunCheck, data: bytes, reason: str) -> None:
    outcome = check("artifact-format", with_safetensors(data))
    assert texts_of(outcome) == [
        f"“models/model.safetensors” is not a valid safetensors file: {reason}. Save it again."
    ]


def test_good_safetensors_agree_with_the_library(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    save_file({"a": np.ones((2, 3), np.float32), "b": np.arange(5)}, path, metadata={"made": "here"})
    assert {(t.name, t.dtype, t.shape) for t in read_tensors(path)} == {
        ("a", "F32", (2, 3)),
        ("b", "I64", (5,)),
    }


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_any_bytes_are_onnx_or_not(data: st.DataObject) -> None:
    content = bytearray(good_model())
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytearray(data.draw(st.binary(max_size=60))) + content if data.draw(st.booleans()) else content
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(content)
        for read, refused in ((read_structure, NotONNX), (read_tensors, NotSafetensors)):
            try:
                read(path)
            except refused as error:
                assert str(error)
        dangerous_kind(path)
