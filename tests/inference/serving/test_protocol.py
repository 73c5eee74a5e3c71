"""The codec against hypothesis, and against the bytes that the stock client makes and reads."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from inference.serving.datatypes import DATATYPES
from inference.serving.errors import ProtocolError
from inference.serving.protocol import OutputTensor, encode_response, parse_request
from inference.serving.signature import Signature, TensorSpec

SIGNATURE = Signature.declared(
    [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}, {"name": "k", "datatype": "INT8", "shape": [-1]}],
    [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}, {"name": "z", "datatype": "BYTES", "shape": [-1]}],
)
X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2.5]}
K = {"name": "k", "datatype": "INT8", "shape": [1], "data": [-3]}


def body(**changes: Any) -> bytes:
    return json.dumps({"inputs": [X, K], **changes}).encode()


def refusal(request: bytes, header_length: int | None = None) -> str:
    with pytest.raises(ProtocolError) as caught:
        envelope = parse_request(request, header_length)
        envelope.tensors(SIGNATURE)
        envelope.outputs(SIGNATURE)
    assert caught.value.status == 400
    return caught.value.message


def signature_of(name: str, datatype: str, rank: int) -> Signature:
    spec = TensorSpec(name, datatype, (-1,) * rank)
    return Signature({name: spec}, {name: spec})


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, np.ndarray[Any, Any]]:
    """A datatype and a tensor of it; NaN and infinities are left to their own test."""
    name = draw(st.sampled_from(sorted(DATATYPES)))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    if name == "BYTES":
        count = math.prod(shape)
        array = np.empty(count, dtype=object)
        array[:] = draw(st.lists(st.text(max_size=6).map(str.encode), min_size=count, max_size=count))
        return name, array.reshape(shape)
    dtype = DATATYPES[name].dtype
    elements = (
        st.floats(allow_nan=False, allow_infinity=False, width=8 * dtype.itemsize)  # type: ignore[arg-type]
        if dtype.kind == "f"
        else None
    )
    return name, draw(hnp.arrays(dtype, shape, elements=elements))


@given(tensors(), st.booleans())
@settings(deadline=None)
def test_what_the_stock_client_sends_is_what_arrives(
    drawn: tuple[str, np.ndarray[Any, Any]], binary: bool
) -> None:
    datatype, array = drawn
    given_input = InferInput("x", list(array.shape), datatype)
    given_input.set_data_from_numpy(array, binary_data=binary or datatype == "FP16")
    content, length = InferenceServerClient.generate_request_body([given_input], request_id="r1")
    request = parse_request(content, length)
    arrived = request.tensors(signature_of("x", datatype, array.ndim))["x"]
    assert request.id == "r1"
    assert arrived.shape == array.shape
    assert arrived.dtype == array.dtype
    assert np.array_equal(arrived, array)


@given(tensors(), st.booleans())
@settings(deadline=None)
def test_what_is_answered_is_what_the_stock_client_reads(
    drawn: tuple[str, np.ndarray[Any, Any]], binary: bool
) -> None:
    datatype, array = drawn
    spec = TensorSpec("y", datatype, (-1,) * array.ndim)
    content, length = encode_response(
        model_name="m",
        model_version="3",
        request_id="r1",
        parameters={"arm": "3"},
        outputs=[OutputTensor(spec, array, binary)],
    )
    result = InferenceServerClient.parse_response_body(content, header_length=length)
    read = result.as_numpy("y")
    if datatype == "BYTES" and not binary:
        read = np.array([text.encode() for text in read.reshape(-1)], dtype=object).reshape(read.shape)
    assert np.array_equal(read, array)
    assert result.get_response()["id"] == "r1"
    assert result.get_response()["model_version"] == "3"


@given(tensors())
@settings(deadline=None)
def test_nested_and_flat_data_are_the_same(drawn: tuple[str, np.ndarray[Any, Any]]) -> None:
    datatype, array = drawn
    values = np.vectorize(bytes.decode, otypes=[object])(array) if datatype == "BYTES" else array
    expected = None
    for data in (values.tolist(), values.reshape(-1).tolist()):
        item = {"name": "x", "datatype": datatype, "shape": list(array.shape), "data": data}
        request = parse_request(json.dumps({"inputs": [item]}).encode())
        arrived = request.tensors(signature_of("x", datatype, array.ndim))["x"]
        assert expected is None or np.array_equal(arrived, expected)
        expected = arrived
    assert np.array_equal(expected, array)


@given(st.binary(max_size=200), st.none() | st.integers(-5, 250))
@settings(deadline=None)
def test_no_bytes_do_more_than_be_refused(noise: bytes, header_length: int | None) -> None:
    with pytest.raises(ProtocolError):
        parse_request(noise, header_length).tensors(SIGNATURE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=8,
)
items = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "k", "w"]) | json_values,
        "datatype": st.sampled_from(["FP32", "INT8", "FP16"]) | json_values,
        "shape": st.lists(st.integers(-2, 3), max_size=3) | json_values,
        "data": st.lists(st.floats(-9, 9), max_size=4) | json_values,
        "parameters": st.dictionaries(
            st.sampled_from(["binary_data_size", "shared_memory_region"]), json_values
        ),
    },
)


@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(items, max_size=3) | json_values},
        optional={"id": json_values, "outputs": st.lists(items) | json_values, "parameters": json_values},
    )
)
@settings(deadline=None, max_examples=300)
def test_any_json_is_answered_or_refused(document: dict[str, Any]) -> None:
    try:
        request = parse_request(json.dumps(document).encode())
        request.tensors(SIGNATURE)
        request.outputs(SIGNATURE)
    except ProtocolError as error:
        assert error.status == 400
        assert error.message


@pytest.mark.parametrize(
    ("request_body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[" * 5000, "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", '"inputs" must be a list'),
        (b'{"inputs": []}', '"inputs" must be a list with at least one'),
        (b'{"inputs": [7]}', 'has no "name"'),
        (body(inputs=[X]), "missing input: k INT8 [-1]"),
        (body(inputs=[X, X, K]), 'input "x" is given twice'),
        (
            body(inputs=[{**X, "name": "w"}]),
            'unknown input "w"; the model expects x FP32 [-1, 2], k INT8 [-1]',
        ),
        (body(inputs=[{**X, "datatype": "FP64"}, K]), "has datatype FP64; the model expects FP32"),
        (body(inputs=[{**X, "shape": [1, 3]}, K]), "has shape [1, 3]; the model expects [-1, 2]"),
        (body(inputs=[{**X, "shape": [0, 2]}, K]), "list of positive integers"),
        (body(inputs=[{**X, "shape": [True, 2]}, K]), "list of positive integers"),
        (body(inputs=[{**X, "shape": "12"}, K]), "list of positive integers"),
        (body(inputs=[{**X, "data": [1]}, K]), 'the shape asks for 2 elements, "data" holds 1'),
        (body(inputs=[{**X, "data": ["1", "2"]}, K]), "must hold only numbers"),
        (body(inputs=[{**X, "data": [1, None]}, K]), "must hold only numbers"),
        (body(inputs=[{**X, "data": [1, True]}, K]), "must hold only numbers"),
        (body(inputs=[{**X, "data": [1, 1e39]}, K]), "must hold only numbers"),
        (body(inputs=[X, {**K, "data": [128]}]), "integers from -128 to 127"),
        (body(inputs=[X, {**K, "data": [1.5]}]), "integers from -128 to 127"),
        (body(inputs=[{**X, "data": 5}, K]), '"data" must be a list'),
        (
            body(inputs=[{**X, "parameters": {"shared_memory_region": "a"}}, K]),
            "shared memory is not supported",
        ),
        (body(id=5), '"id" must be a string'),
        (body(id="i" * 257), '"id" must be a string'),
        (body(parameters=[1]), '"parameters" must be an object'),
        (body(parameters={"binary_data_output": "yes"}), "must be true or false"),
        (body(outputs=[{"name": "q"}]), 'unknown output "q"; the model gives y, z'),
        (body(outputs=["y"]), 'must be an object with a "name"'),
        (
            body(outputs=[{"name": "y", "parameters": {"classification": 3}}]),
            '"classification" is not supported',
        ),
    ],
)
def test_a_refusal_says_what_is_wrong(request_body: bytes, said: str) -> None:
    assert said in refusal(request_body)


def binary_body(size: Any, raw: bytes) -> tuple[bytes, int]:
    item = {"name": "k", "datatype": "INT8", "shape": [3], "parameters": {"binary_data_size": size}}
    header = json.dumps({"inputs": [X | {"shape": [1, 2]}, item]}).encode()
    return header + raw, len(header)


@pytest.mark.parametrize(
    ("size", "raw", "said"),
    [
        (3, b"ab", "3 bytes of binary data announced, 2 are there"),
        (2, b"ab", "3 elements of INT8 are 3 bytes, not 2"),
        (3, b"abcd", "4 bytes of binary data sent, the inputs announce 3"),
        (-1, b"", '"binary_data_size" must be a number of bytes'),
        ("3", b"abc", '"binary_data_size" must be a number of bytes'),
    ],
)
def test_binary_data_must_be_exactly_what_is_announced(size: Any, raw: bytes, said: str) -> None:
    assert said in refusal(*binary_body(size, raw))


def test_the_length_of_the_json_part_must_be_possible() -> None:
    assert "Inference-Header-Content-Length is 900" in refusal(b"{}", 900)


@pytest.mark.parametrize("raw", [b"\x05\x00\x00\x00ab", b"\x01\x00", b"\x00\x00\x00\x00" * 3])
def test_malformed_bytes_elements_are_refused(raw: bytes) -> None:
    item = {"name": "x", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [item]}).encode()
    with pytest.raises(ProtocolError, match="BYTES"):
        parse_request(header + raw, len(header)).tensors(signature_of("x", "BYTES", 1))


def test_a_binary_tensor_is_aligned_wherever_it_starts() -> None:
    values = np.arange(4, dtype=np.float64)
    for padding in range(8):
        item = {"name": "x", "datatype": "FP64", "shape": [4], "parameters": {"binary_data_size": 32}}
        header = json.dumps({"id": "i" * padding, "inputs": [item]}).encode()
        arrived = parse_request(header + values.tobytes(), len(header)).tensors(signature_of("x", "FP64", 1))[
            "x"
        ]
        assert arrived.flags.aligned
        assert np.array_equal(arrived, values)


def test_outputs_are_chosen_ordered_and_each_travels_as_asked() -> None:
    wanted = [{"name": "z", "parameters": {"binary_data": False}}, {"name": "y"}]
    request = parse_request(body(outputs=wanted, parameters={"binary_data_output": True}))
    assert [(spec.name, binary) for spec, binary in request.outputs(SIGNATURE)] == [("z", False), ("y", True)]
    assert [binary for _spec, binary in parse_request(body()).outputs(SIGNATURE)] == [False, False]


def test_numbers_that_json_does_not_know_survive_in_binary() -> None:
    values = np.array([[np.nan, np.inf]], dtype=np.float32)
    for binary in (False, True):
        content, length = encode_response(
            model_name="m",
            model_version="1",
            request_id="",
            parameters={},
            outputs=[OutputTensor(SIGNATURE.outputs["y"], values, binary)],
        )
        read = InferenceServerClient.parse_response_body(content, header_length=length).as_numpy("y")
        assert np.isnan(read[0, 0])
        assert np.isinf(read[0, 1]) == binary
        assert "id" not in json.loads(content[:length])


def test_text_that_is_no_utf8_must_travel_as_binary() -> None:
    values = np.array([b"\xff"], dtype=object)
    with pytest.raises(ProtocolError, match="binary_data"):
        encode_response(
            model_name="m",
            model_version="1",
            request_id="",
            parameters={},
            outputs=[OutputTensor(SIGNATURE.outputs["z"], values, False)],
        )


def test_the_stock_clients_output_choice_is_understood() -> None:
    x = InferInput("x", [1, 2], "FP32").set_data_from_numpy(np.ones((1, 2), np.float32))
    k = InferInput("k", [1], "INT8").set_data_from_numpy(np.ones(1, np.int8))
    content, length = InferenceServerClient.generate_request_body(
        [x, k], outputs=[InferRequestedOutput("y", binary_data=False)]
    )
    request = parse_request(content, length)
    assert request.tensors(SIGNATURE)["x"].tolist() == [[1, 1]]
    assert [(spec.name, binary) for spec, binary in request.outputs(SIGNATURE)] == [("y", False)]
