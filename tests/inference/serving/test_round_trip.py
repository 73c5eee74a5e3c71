"""Any tensor that the stock client can send comes back from a real graph as it went in, however it travels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from inference.serving.datatypes import DATATYPES
from tests.inference.serving import fake_site_values as site

AUTH = {"Authorization": f"Bearer {site.TOKEN}"}


@pytest.fixture(scope="module")
def client(served: str) -> Any:
    with InferenceServerClient(served) as made:
        yield made


@st.composite
def tensors(draw: st.DrawFn, datatype: str, rows: int) -> np.ndarray[Any, Any]:
    if datatype == "BYTES":
        array = np.empty(2 * rows, dtype=object)
        text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
        array[:] = [value.encode() for value in draw(st.lists(text, min_size=2 * rows, max_size=2 * rows))]
        return array.reshape(rows, 2)
    dtype = DATATYPES[datatype].dtype
    return draw(hnp.arrays(dtype, (rows, 2), elements=_floats(dtype) if dtype.kind == "f" else None))


def _floats(dtype: np.dtype[Any]) -> st.SearchStrategy[float]:
    """Every finite number of the type. Without bounds, what is too large for it would be drawn and thrown away."""
    most = float(np.finfo(dtype).max)
    return st.floats(-most, most, width=8 * dtype.itemsize)  # type: ignore[arg-type]


@given(data=st.data(), rows=st.integers(1, 6), ordered=st.randoms())
@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
def test_what_goes_in_comes_out(
    client: InferenceServerClient, data: st.DataObject, rows: int, ordered: Any
) -> None:
    sent = {datatype: data.draw(tensors(datatype, rows)) for datatype in site.DATATYPES}
    inputs = []
    for datatype, array in sent.items():
        as_binary = datatype == "FP16" or data.draw(st.booleans())  # the client cannot write FP16 as JSON
        tensor = InferInput(f"in_{datatype}", [rows, 2], datatype)
        inputs.append(tensor.set_data_from_numpy(array, binary_data=as_binary))
    wanted = data.draw(st.lists(st.sampled_from(site.DATATYPES), unique=True))
    outputs = [InferRequestedOutput(f"out_{name}", binary_data=data.draw(st.booleans())) for name in wanted]
    ordered.shuffle(inputs)
    result = client.infer("every-type", inputs, outputs=outputs or None, headers=AUTH)
    for datatype in wanted or site.DATATYPES:
        read = result.as_numpy(f"out_{datatype}")
        assert read.shape == (rows, 2)
        if datatype == "BYTES":
            read = np.array(
                [v.encode() if isinstance(v, str) else v for v in read.reshape(-1)], dtype=object
            ).reshape(rows, 2)
        assert np.array_equal(read, sent[datatype]), datatype
    assert math.prod(read.shape) == 2 * rows
