"""Load a model inside the sandbox, compare it with its declaration, and predict once on zeros.

Returns plain data: `problems` (code and parameters; the words are chosen outside) and `measures`. Running out of
memory is raised as MemoryError, whatever the library calls it.
"""

from __future__ import annotations

import time
from typing import Any, BinaryIO

import numpy as np

MAX_INPUT_BYTES = 256 << 20
FREE_SIZES = (
    1,
    32,
)  # tried in this order for a dimension that the declaration leaves open (the batch is always 1)
CHUNK_BYTES = 4 << 20

# Open Inference Protocol v2 datatype -> ONNX Runtime's name, numpy's name
DATATYPES = {
    "BOOL": ("tensor(bool)", "bool"),
    "UINT8": ("tensor(uint8)", "uint8"),
    "UINT16": ("tensor(uint16)", "uint16"),
    "UINT32": ("tensor(uint32)", "uint32"),
    "UINT64": ("tensor(uint64)", "uint64"),
    "INT8": ("tensor(int8)", "int8"),
    "INT16": ("tensor(int16)", "int16"),
    "INT32": ("tensor(int32)", "int32"),
    "INT64": ("tensor(int64)", "int64"),
    "FP16": ("tensor(float16)", "float16"),
    "FP32": ("tensor(float)", "float32"),
    "FP64": ("tensor(double)", "float64"),
    "BYTES": ("tensor(string)", "object"),
}
NAMES = {runtime: protocol for protocol, (runtime, _) in DATATYPES.items()}


def try_model(path: str, declaration: dict) -> dict:
    """Return the problems of the model in `path`; `declaration` has `format`, and `inputs`, `outputs` or `tensors`."""
    if declaration["format"] == "safetensors":
        return check_values(path, declaration["tensors"])
    return try_onnx(path, declaration)


def problem(code: str, **params: object) -> dict:
    return {"code": code, "params": params}


def shown(text: object) -> str:
    return " ".join(str(text).split())[:240]


def out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return any(
        sign in text for sign in ("bad_alloc", "failed to allocate", "cannot allocate", "out of memory")
    )


def try_onnx(path: str, declaration: dict) -> dict:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    measures: dict[str, object] = {}
    started = time.perf_counter()
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if out_of_memory(error):
            raise MemoryError from error
        return {"problems": [problem("load", reason=shown(error))], "measures": measures}
    measures["load_s"] = round(time.perf_counter() - started, 4)
    problems = [
        *compare("input", declaration["inputs"], session.get_inputs()),
        *compare("output", declaration["outputs"], session.get_outputs()),
    ]
    if not problems:
        problems = predict(session, declaration, measures)
    return {"problems": problems, "measures": measures}


def compare(side: str, declared: list, actual: list) -> list:
    """Compare one side of the signature; every input must be declared, outputs that are not are only noted."""
    found, by_name = [], {tensor.name: tensor for tensor in actual}
    names = ", ".join(sorted(by_name)) or "-"
    for spec in declared:
        tensor = by_name.pop(spec["name"], None)
        if tensor is None:
            found.append(problem(f"no-such-{side}", name=spec["name"], actual=shown(names)))
            continue
        datatype = NAMES.get(tensor.type, tensor.type)
        if datatype != spec["datatype"]:
            found.append(
                problem("datatype", name=spec["name"], declared=spec["datatype"], actual=shown(datatype))
            )
        shape = [size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape]
        if not fits(spec["shape"], shape):
            found.append(problem("shape", name=spec["name"], declared=str(spec["shape"]), actual=str(shape)))
    if side == "input":
        found += [problem("undeclared-input", name=shown(name)) for name in sorted(by_name)]
    return found


def fits(declared: list, actual: list) -> bool:
    """A size that the model fixes must be declared so; one that it leaves open may be declared narrower.

    ONNX Runtime gives an empty shape for an unknown rank; the prediction decides then.
    """
    if not actual:
        return True
    return len(declared) == len(actual) and all(b in (-1, a) for a, b in zip(declared, actual, strict=True))


def predict(session: Any, declaration: dict, measures: dict) -> list:
    error: Exception | None = None
    for free in FREE_SIZES:
        feeds = {}
        for spec in declaration["inputs"]:
            shape = [size if size > 0 else free for size in spec["shape"]]
            if spec["shape"][0] < 0:
                shape[0] = 1
            kind = DATATYPES[spec["datatype"]][1]
            size_bytes = int(np.prod(shape, dtype=object)) * (
                8 if kind == "object" else np.dtype(kind).itemsize
            )
            if size_bytes > MAX_INPUT_BYTES:
                return [problem("input-too-large", name=spec["name"], mebibytes=size_bytes >> 20)]
            feeds[spec["name"]] = (
                np.full(shape, "", dtype=object) if kind == "object" else np.zeros(shape, kind)
            )
        started = time.perf_counter()
        try:
            values = session.run([spec["name"] for spec in declaration["outputs"]], feeds)
        except Exception as failure:
            if out_of_memory(failure):
                raise MemoryError from failure
            error = failure
            continue
        measures["predict_s"] = round(time.perf_counter() - started, 5)
        return judge_outputs(declaration["outputs"], values)
    return [problem("predict", reason=shown(error))]


def judge_outputs(declared: list, values: list) -> list:
    found = []
    for spec, value in zip(declared, values, strict=True):
        if not isinstance(value, np.ndarray):
            found.append(
                problem("datatype", name=spec["name"], declared=spec["datatype"], actual=type(value).__name__)
            )
            continue
        if len(value.shape) != len(spec["shape"]) or any(
            a not in (-1, b) for a, b in zip(spec["shape"], value.shape, strict=True)
        ):
            found.append(
                problem(
                    "shape", name=spec["name"], declared=str(spec["shape"]), actual=str(list(value.shape))
                )
            )
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            found.append(problem("not-finite", name=spec["name"]))
    return found


def check_values(path: str, tensors: list) -> dict:
    """Read every floating-point tensor of a safetensors file in pieces and look for NaN and infinity."""
    started, size = time.perf_counter(), 0
    bad = []
    with open(path, "rb") as file:
        for tensor in tensors:
            size += tensor["end"] - tensor["begin"]
            if not finite(file, tensor):
                bad.append(problem("weights-not-finite", name=tensor["name"]))
    return {
        "problems": bad,
        "measures": {"read_s": round(time.perf_counter() - started, 4), "weights_bytes": size},
    }


def finite(file: BinaryIO, tensor: dict) -> bool:
    dtype = tensor["dtype"]
    file.seek(tensor["begin"])
    left = tensor["end"] - tensor["begin"]
    while left:
        data = file.read(min(left, CHUNK_BYTES))
        if not data:
            return False
        left -= len(data)
        if dtype in ("F16", "F32", "F64"):
            if not np.isfinite(np.frombuffer(data, {"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype])).all():
                return False
        elif dtype == "BF16":
            if ((np.frombuffer(data, "<u2") & 0x7F80) == 0x7F80).any():
                return False
        elif dtype == "F8_E4M3":
            if ((np.frombuffer(data, "u1") & 0x7F) == 0x7F).any():
                return False
        elif dtype == "F8_E5M2" and ((np.frombuffer(data, "u1") & 0x7C) == 0x7C).any():
            return False
    return True
