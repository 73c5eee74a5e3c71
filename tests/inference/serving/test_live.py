"""The stock `tritonclient` and raw HTTP against the inference application under granian."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pytest
from tritonclient.http.aio import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from tests.inference.serving import fake_site_values as site

TENSORS: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    **{f"INT{8 * n}": np.array([[-5, 7]], dtype=f"i{n}") for n in (1, 2, 4, 8)},
    **{f"UINT{8 * n}": np.array([[5, 7]], dtype=f"u{n}") for n in (1, 2, 4, 8)},
    **{f"FP{8 * n}": np.array([[-0.5, 1.25]], dtype=f"f{n}") for n in (2, 4, 8)},
    "BYTES": np.array([["chat", "été"]], dtype=object),
}


def auth() -> dict[str, str]:
    """Headers of the caller: made anew, because the client writes into the ones that it is given."""
    return {"Authorization": f"Bearer {site.TOKEN}"}


@pytest.fixture
async def client(served: str) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(served) as made:
        yield made


@pytest.fixture
async def http(served: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{served}", headers=auth(), timeout=30) as made:
        yield made


def x_input(array: Any, name: str = "x", *, binary: bool = True) -> InferInput:
    return InferInput(name, list(array.shape), "FP32").set_data_from_numpy(array, binary_data=binary)


def row(*values: float) -> Any:
    return np.array([values], dtype=np.float32)


def infer_body(data: Any = (1, 2, 3, 4), **changes: Any) -> dict[str, Any]:
    data = list(data)
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(data)], "data": data}], **changes}


# --- The stock client ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("binary_in", "binary_out"), list(itertools.product((True, False), (True, False, None)))
)
async def test_every_datatype_comes_back(
    client: InferenceServerClient, binary_in: bool, binary_out: bool | None
) -> None:
    inputs, outputs = [], []
    for datatype, array in TENSORS.items():
        tensor = InferInput(f"in_{datatype}", list(array.shape), datatype)
        # The client itself cannot write FP16 as JSON.
        inputs.append(tensor.set_data_from_numpy(array, binary_data=binary_in or datatype == "FP16"))
        if binary_out is not None:
            outputs.append(InferRequestedOutput(f"out_{datatype}", binary_data=binary_out))
    result = await client.infer(
        "every-type", inputs, outputs=outputs or None, request_id="r-1", headers=auth()
    )
    for datatype, array in TENSORS.items():
        read = result.as_numpy(f"out_{datatype}")
        if datatype == "BYTES":
            read = np.array([v.decode() if isinstance(v, bytes) else v for v in read.reshape(-1)]).reshape(
                1, 2
            )
        assert read.shape == array.shape
        assert np.array_equal(read, array), datatype
    answer = result.get_response()
    assert answer["id"] == "r-1"
    assert answer["model_name"] == "every-type"
    assert answer["parameters"]["arm"] == answer["model_version"] == "1"
    assert len(answer["parameters"]["prediction_id"]) == 36


async def test_outputs_mix_binary_and_json_in_the_order_asked_for(client: InferenceServerClient) -> None:
    inputs = []
    for datatype, array in TENSORS.items():
        tensor = InferInput(f"in_{datatype}", list(array.shape), datatype)
        inputs.append(tensor.set_data_from_numpy(array))
    outputs = [
        InferRequestedOutput("out_INT8", binary_data=True),
        InferRequestedOutput("out_FP64", binary_data=False),
        InferRequestedOutput("out_BYTES", binary_data=True),
    ]
    result = await client.infer("every-type", inputs, outputs=outputs, headers=auth())
    assert [output["name"] for output in result.get_response()["outputs"]] == [
        "out_INT8",
        "out_FP64",
        "out_BYTES",
    ]
    assert result.as_numpy("out_INT8").tolist() == [[-5, 7]]
    assert result.as_numpy("out_FP64").tolist() == [[-0.5, 1.25]]
    assert [value.decode() for value in result.as_numpy("out_BYTES")[0]] == ["chat", "été"]


async def test_health_metadata_and_the_extensions(client: InferenceServerClient) -> None:
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert "binary_tensor_data" in (await client.get_server_metadata())["extensions"]
    assert await client.is_model_ready("split", headers=auth())
    assert await client.is_model_ready("split", "2.0.0", headers=auth())
    assert not await client.is_model_ready("tampered", headers=auth())
    metadata = await client.get_model_metadata("split", headers=auth())
    assert metadata["versions"] == ["1.0.0", "2.0.0", "3.0.0"]
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    config = await client.get_model_config("split", "2.0.0", headers=auth())
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
    index = await client.get_model_repository_index(headers=auth())
    assert {"double", "split"} <= {item["name"] for item in index}
    await client.infer("double", [x_input(row(1, 2, 3, 4))], headers=auth())
    statistics = await client.get_inference_statistics("double", headers=auth())
    assert statistics["model_stats"][0]["inference_count"] >= 1
    assert (await client.get_inference_statistics(headers=auth()))["model_stats"]


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
async def test_compressed_requests(client: InferenceServerClient, algorithm: str) -> None:
    result = await client.infer(
        "double", [x_input(row(1, 2, 3, 4))], request_compression_algorithm=algorithm, headers=auth()
    )
    assert result.as_numpy("y").tolist() == [[2, 4, 6, 8]]


async def test_the_client_reads_our_errors(client: InferenceServerClient) -> None:
    for name, headers, said in (
        ("double", {}, "send a bearer token"),
        ("double", {"Authorization": "Bearer nobody"}, "unknown, expired or revoked"),
        ("double", {"Authorization": f"Bearer {site.EXPIRED}"}, "unknown, expired or revoked"),
        ("double", {"Authorization": f"Bearer {site.STRANGER}"}, "you may not invoke"),
        ("nothing", auth(), 'no endpoint "nothing"'),
        ("table", auth(), 'unknown input "x"; the model expects i INT64 [-1]'),
        ("tampered", auth(), "cannot be loaded"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            await client.infer(name, [x_input(row(1, 2, 3, 4))], headers=headers)
        assert said in str(caught.value)


async def test_a_named_version_bypasses_the_split(client: InferenceServerClient) -> None:
    for version, factor in (("1.0.0", 1), ("2.0.0", 2), ("3.0.0", 3)):
        for _ in range(5):
            result = await client.infer(
                "split", [x_input(row(1, 1, 1, 1))], model_version=version, headers=auth()
            )
            assert result.as_numpy("y")[0, 0] == factor
            assert result.get_response()["model_version"] == version
    with pytest.raises(InferenceServerException, match=r"it has 1\.0\.0, 2\.0\.0, 3\.0\.0"):
        await client.infer("split", [x_input(row(1, 1, 1, 1))], model_version="4.0.0", headers=auth())


async def test_the_split_and_its_sessions(http: httpx.AsyncClient) -> None:
    await asyncio.gather(*(http.get(f"/v2/models/split/versions/{v}/ready") for v in ("1.0.0", "2.0.0")))
    arms: Counter[str] = Counter()
    for _ in range(300):
        answer = (await http.post("/v2/models/split/infer", json=infer_body())).json()
        arms[answer["parameters"]["arm"]] += 1
    assert arms["3.0.0"] == 0
    assert 5 <= arms["2.0.0"] <= 75
    for options in (
        {"headers": {"X-OpenClaw-Session": "s-4"}, "json": infer_body()},
        {"json": infer_body(parameters={"session_id": "s-4"})},
    ):
        seen = {
            (await http.post("/v2/models/split/infer", **options)).json()["model_version"] for _ in range(10)
        }
        assert len(seen) == 1


async def test_an_arm_that_cannot_be_loaded_costs_nobody_an_answer(http: httpx.AsyncClient) -> None:
    answers = [await http.post("/v2/models/half-broken/infer", json=infer_body()) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["model_version"] for answer in answers} == {"good"}


# --- Plain HTTP ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v2/models/double/infer", 405, "POST"),
        ("GET", "/v2/models/double/versions/1/infer", 405, "POST"),
        ("GET", "/v2/repository/index", 405, "POST"),
        ("POST", "/v2/models/double", 405, "GET"),
        ("DELETE", "/v2/models/double", 405, "GET"),
        ("GET", "/v2/repository/models/double/load", 405, "POST"),
        ("POST", "/v2/repository/models/double/load", 403, None),
        ("POST", "/v2/repository/models/nothing/unload", 404, None),
        ("POST", "/v2/repository/models/double/purge", 405, "GET"),
        ("GET", "/v2/nowhere", 404, None),
        ("GET", "/v2/models/double/nowhere", 404, None),
        ("GET", "/v2/models", 404, None),
        ("GET", "/v2/models//ready", 404, None),
        ("GET", "/v2/models/double/versions/8", 404, None),
        ("GET", "/v2/", 200, None),
    ],
)
async def test_paths_and_methods(
    http: httpx.AsyncClient, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get("allow") == allow
    assert answer.headers["content-type"] == "application/json"
    assert status == 200 or list(answer.json()) == ["error"]


async def test_a_refused_token_is_challenged(served: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{served}") as anonymous:
        for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer"}):
            answer = await anonymous.get("/v2/models/double", headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_no_content_type_is_needed(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"Content-Type": "text/plain"}):
        answer = await http.post("/v2/models/double/infer", content=json.dumps(infer_body()), headers=headers)
        assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"x" * (1024 * 1024 + 1), {}),
        (gzip.compress(b" " * (8 * 1024 * 1024)), {"Content-Encoding": "gzip"}),
    ],
)
async def test_bodies_are_bounded_also_when_they_are_packed(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str]
) -> None:
    answer = await http.post("/v2/models/double/infer", content=content, headers=headers)
    assert answer.status_code == 413
    assert "larger than 1048576 bytes" in answer.json()["error"]


async def test_a_large_body_of_a_stranger_still_gets_its_refusal(served: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{served}") as anonymous:
        answer = await anonymous.post("/v2/models/double/infer", content=b" " * (4 * 1024 * 1024))
        assert answer.status_code == 401


async def test_a_body_without_a_length_is_bounded(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    answer = await http.post("/v2/models/double/infer", content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("content", "headers", "said"),
    [
        (b"{", {}, "not valid JSON"),
        (b"abc", {"Content-Encoding": "gzip"}, "not valid gzip"),
        (gzip.compress(b"{}" * 100)[:-9], {"Content-Encoding": "gzip"}, "cut off"),
        (b"abc", {"Content-Encoding": "br"}, "must be gzip or deflate"),
        (b"{}", {"Inference-Header-Content-Length": "-1"}, "must be a number of bytes"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, "but the body has 2 bytes"),
    ],
)
async def test_malformed_bodies(
    http: httpx.AsyncClient, content: bytes, headers: dict[str, str], said: str
) -> None:
    answer = await http.post("/v2/models/double/infer", content=content, headers=headers)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


async def test_values_that_cannot_be_computed(http: httpx.AsyncClient) -> None:
    item = {"name": "i", "datatype": "INT64", "shape": [1], "data": [7]}
    answer = await http.post("/v2/models/table/infer", json={"inputs": [item]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("the model cannot compute this input")


async def test_a_deadline_of_the_caller_is_kept(http: httpx.AsyncClient) -> None:
    took = []  # a busy machine takes longer, for one as for all
    for _ in range(3):
        began = time.monotonic()
        await http.post("/v2/models/slow-one-by-one/infer", json=infer_body([1]))
        took.append(time.monotonic() - began)
    body = infer_body([1], parameters={"timeout": int(6e6 * min(took))})
    began = time.monotonic()
    answers = await asyncio.gather(
        *[http.post("/v2/models/slow-one-by-one/infer", json=body) for _ in range(24)]
    )
    assert {answer.status_code for answer in answers} == {200, 504}
    assert time.monotonic() - began < 5 + 24 * max(took)
    refused = await http.post("/v2/models/slow/infer", json=infer_body([1], parameters={"timeout": "soon"}))
    assert refused.status_code == 400


async def executions(http: httpx.AsyncClient, name: str) -> int:
    count: int = (await http.get(f"/v2/models/{name}/stats")).json()["model_stats"][0]["execution_count"]
    return count


async def test_nothing_is_computed_for_callers_who_hung_up(served: str, http: httpx.AsyncClient) -> None:
    await http.post("/v2/models/slow-one-by-one/infer", json=infer_body([1]))
    before = await executions(http, "slow-one-by-one")
    async with httpx.AsyncClient(base_url=f"http://{served}", headers=auth()) as hasty:
        calls = [
            asyncio.ensure_future(hasty.post("/v2/models/slow-one-by-one/infer", json=infer_body([1])))
            for _ in range(40)
        ]
        await asyncio.sleep(0.15)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    await http.post("/v2/models/slow-one-by-one/infer", json=infer_body([1]))
    assert await executions(http, "slow-one-by-one") - before < 25


async def test_overload_is_refused_with_a_time_to_come_back(served: str) -> None:
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=f"http://{served}", headers=auth(), limits=limits, timeout=60
    ) as many:
        await many.post("/v2/models/slow-one-by-one/infer", json=infer_body([1]))
        calls = (
            many.post(
                "/v2/models/slow-one-by-one/infer", json=infer_body([1], parameters={"timeout": 3_000_000})
            )
            for _ in range(150)
        )
        answers = await asyncio.gather(*calls)
    by_status = Counter(answer.status_code for answer in answers)
    assert by_status[200] >= 1, by_status
    assert by_status[429] + by_status[503] >= 1, by_status
    assert set(by_status) <= {200, 429, 503, 504}
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code in (429, 503))


async def test_no_answer_ever_reaches_another_caller(served: str) -> None:
    """Concurrent callers of several sizes, models and encodings: everybody gets what they sent, doubled."""
    generator = random.Random(7)

    async def caller(number: int) -> None:
        async with InferenceServerClient(served) as client:
            for turn in range(25):
                size = generator.choice((1, 1, 1, 2, 5, 40))
                array = np.full((size, 4), number * 1000 + turn, dtype=np.float32)
                array += np.arange(size, dtype=np.float32)[:, None] / 64
                binary = generator.random() < 0.5
                result = await client.infer(
                    "double",
                    [x_input(array, binary=binary)],
                    outputs=[InferRequestedOutput("y", binary_data=generator.random() < 0.5)],
                    request_id=f"{number}-{turn}",
                    headers=auth(),
                )
                assert result.get_response()["id"] == f"{number}-{turn}"
                assert np.array_equal(result.as_numpy("y"), 2 * array)

    await asyncio.gather(*(caller(number) for number in range(24)))


async def test_rows_that_see_each_other_are_never_mixed_across_callers(http: httpx.AsyncClient) -> None:
    """A softmax over the batch: alone in its run, every caller's column sums to one by itself."""
    calls = (http.post("/v2/models/mixed/infer", json=infer_body([i, 0, 0, 0])) for i in range(60))
    for answer in await asyncio.gather(*calls):
        assert answer.json()["outputs"][0]["data"] == [1, 1, 1, 1]
