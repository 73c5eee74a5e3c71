"""The protocol's statistics and model repository extensions, by the stock client against a live server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from tritonclient.http.aio import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from tests.inference.serving import fake_site_values as site

DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


def auth(token: str = site.TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
async def client(served: str) -> AsyncIterator[InferenceServerClient]:
    async with InferenceServerClient(served) as made:
        yield made


async def states(client: InferenceServerClient, name: str) -> dict[str, str]:
    index = await client.get_model_repository_index(headers=auth())
    return {item["version"]: item["state"] for item in index if item["name"] == name}


async def ask(client: InferenceServerClient, name: str, rows: int = 1, **options: Any) -> Any:
    x = InferInput("x", [rows, 4], "FP32").set_data_from_numpy(np.ones((rows, 4), np.float32))
    return await client.infer(name, [x], headers=auth(), **options)


async def test_loading_and_unloading_by_hand(client: InferenceServerClient) -> None:
    await client.load_model("by-hand", headers=auth())
    assert await states(client, "by-hand") == {"1": "READY", "2": "READY"}
    under_way = [asyncio.ensure_future(ask(client, "by-hand")) for _ in range(20)]
    await client.unload_model("by-hand", headers=auth())
    assert all(answer.as_numpy("y")[0, 0] == 4 for answer in await asyncio.gather(*under_way))
    await client.unload_model("by-hand", headers=auth())
    # Unloading takes nothing away: whoever asks next has the version loaded again.
    assert (await ask(client, "by-hand", model_version="2")).as_numpy("y")[0, 0] == 4.5
    assert (await states(client, "by-hand"))["2"] == "READY"


async def test_only_who_has_the_right_loads_and_unloads(client: InferenceServerClient) -> None:
    for name, token, said in (
        ("double", site.TOKEN, "cannot be made to load"),
        ("by-hand", site.STRANGER, "you may not invoke"),
        ("nothing", site.TOKEN, "no endpoint"),
        ("tampered", site.TOKEN, "cannot be loaded"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            await client.load_model(name, headers=auth(token))
        assert said in str(caught.value)


async def test_statistics_count_every_request_once(client: InferenceServerClient) -> None:
    async def statistics() -> Any:
        found = await client.get_inference_statistics("split", "3.0.0", headers=auth())
        return found["model_stats"][0]

    await ask(client, "split", model_version="3.0.0")
    before = await statistics()
    sizes = [1, 1, 2, 5]
    for size in sizes:
        await ask(client, "split", size, model_version="3.0.0")
    after = await statistics()
    assert after["name"], after["version"] == ("split", "3.0.0")
    assert after["inference_count"] - before["inference_count"] == sum(sizes)
    assert after["execution_count"] - before["execution_count"] == len(sizes)
    assert after["last_inference"] >= before["last_inference"] > 0
    for name in DURATIONS:
        counted = after["inference_stats"][name]["count"] - before["inference_stats"][name]["count"]
        assert counted == (0 if name == "fail" else len(sizes))
    took = after["inference_stats"]
    assert took["success"]["ns"] >= took["compute_infer"]["ns"] > 0
    by_size = {item["batch_size"]: item["compute_infer"]["count"] for item in after["batch_stats"]}
    assert by_size[2] == by_size[5] == 1
    assert sum(size * count for size, count in by_size.items()) == after["inference_count"]


async def test_every_address_of_a_version(client: InferenceServerClient) -> None:
    assert await client.is_model_ready("split", "3.0.0", headers=auth())
    assert (await client.get_model_metadata("split", "3.0.0", headers=auth()))["name"] == "split"
    assert (await client.get_model_config("split", "3.0.0", headers=auth()))["backend"] == "onnxruntime"
    for call in (client.get_model_metadata, client.get_model_config, client.get_inference_statistics):
        with pytest.raises(InferenceServerException, match="no version"):
            await call("split", "9", headers=auth())
