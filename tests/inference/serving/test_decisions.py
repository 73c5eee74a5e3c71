"""What an answer tells about how its version was chosen; cohorts, and shadows that never stand in an answer's way."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from governance.principals import Principal, Role
from inference.rollouts.selectors import Cohort, Shadow
from inference.serving.classes import ClassReader
from inference.serving.http import Exchange
from inference.serving.lookups import Caller
from inference.serving.metrics import SHADOW_ANSWERS
from inference.serving.outcomes import Outcome, OutcomeLog
from inference.serving.pool import ModelPool
from inference.serving.predictions import Limits, Prediction, Predictor, RequestHeaders
from inference.serving.routing import Router
from tests.factories import onnx_models
from tests.factories.onnx_models import ArmStub, EndpointStub

BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


class Asked:
    """An endpoint in this process, with the outcomes that were written."""

    def __init__(self, *arms: ArmStub, max_queued: int = 64, **rules: Any) -> None:
        self.endpoint = EndpointStub("m", arms, **rules)
        self.pool = ModelPool(max_queued=max_queued)
        self.router = Router(self.pool)
        self.rows: list[Outcome] = []
        self.log = OutcomeLog(self._write)
        self.predictor = Predictor(self.router, self.log, Limits())
        principal = Principal("client", "client-7", "a client", roles=frozenset({Role.SERVICE}))
        self.caller = Caller(principal, time.time() + 60)

    def _write(self, outcomes: Sequence[Outcome]) -> None:
        self.rows += outcomes

    async def ready(self) -> None:
        for arm in self.endpoint.arms:
            await self.pool.get(arm)

    async def infer(self, *, body: Any = BODY, version: str = "", **headers: bytes) -> dict[str, Any]:
        exchange = Exchange(json.dumps(body).encode())
        prediction = Prediction(0.0, self.caller, self.endpoint, RequestHeaders(**headers), version)
        await self.predictor.answer(prediction, exchange.receive, exchange.send)
        return {"status": exchange.status} | json.loads(bytes(exchange.answer))

    async def facts(self, **how: Any) -> dict[str, Any]:
        answer = await self.infer(**how)
        assert answer["status"] == 200, answer
        parameters: dict[str, Any] = answer["parameters"]
        return parameters

    async def settled(self) -> list[Outcome]:
        """Every outcome, once nothing is mirrored any more."""
        await asyncio.gather(*self.predictor._shadows._under_way)
        self.log.flush()
        return self.rows


def arm(folder: Path, version: str, weight: int) -> ArmStub:
    return onnx_models.affine(folder, factor=float(version), version=version, weight=weight)


@pytest.fixture
async def ask(tmp_path: Path) -> AsyncIterator[Any]:
    made: list[Asked] = []

    async def build(*weights: int, **options: Any) -> Asked:
        arms = [arm(tmp_path, str(number), weight) for number, weight in enumerate(weights, start=1)]
        made.append(Asked(*arms, **options))
        await made[-1].ready()
        return made[-1]

    yield build
    for one in made:
        await one.pool.close()


def shadowed(result: str) -> float:
    return next(
        (
            s.value
            for m in SHADOW_ANSWERS.collect()
            for s in m.samples
            if s.labels["result"] == result and s.name.endswith("_total")
        ),
        0.0,
    )


async def test_every_answer_says_which_decision_it_was_and_with_which_probability(ask: Any) -> None:
    asked = await ask(70, 30)
    told = [await asked.facts() for _ in range(200)]
    assert {(one["arm"], one["propensity"]) for one in told} == {("1", 0.7), ("2", 0.3)}
    assert all(one["decision_id"] == one["prediction_id"] for one in told)
    rows = {str(row.id): row for row in await asked.settled()}
    for one in told:
        row = rows[one["decision_id"]]
        assert (row.chosen, row.propensity) == ("split", one["propensity"])


async def test_the_share_among_the_arms_that_are_ready_is_what_is_told(tmp_path: Path) -> None:
    asked = Asked(arm(tmp_path, "1", 60), arm(tmp_path, "2", 20), arm(tmp_path, "3", 20))
    await asked.pool.get(asked.endpoint.arms[0])
    await asked.pool.get(asked.endpoint.arms[1])
    told = Counter((one["arm"], one["propensity"]) for one in [await asked.facts() for _ in range(30)])
    assert set(told) <= {("1", 0.75), ("2", 0.25), ("1", 0.6), ("2", 0.2), ("3", 0.2)}
    assert ("1", 0.75) in told
    await asked.pool.close()


async def test_named_and_sticky_choices_are_told_apart(ask: Any) -> None:
    asked = await ask(50, 50)
    assert (await asked.facts(version="2"))["propensity"] == 1.0
    stuck = {(one["arm"], one["propensity"]) for one in [await asked.facts(session=b"s") for _ in range(9)]}
    assert len(stuck) == 1
    assert Counter(row.chosen for row in await asked.settled()) == {"named": 1, "sticky": 9}


async def test_a_cohort_is_answered_by_its_version(ask: Any) -> None:
    rules = (Cohort("beta", "2", ("session-1",)), Cohort("staff", "3", ("client-7",)))
    asked = await ask(100, 0, 0, cohorts=rules[:1])
    assert (await asked.facts(cohort=b"beta"))["arm"] == "2"
    assert (await asked.facts(session=b"session-1"))["arm"] == "2"
    assert (await asked.facts(cohort=b"gamma", session=b"session-2"))["arm"] == "1"
    assert (await asked.facts(cohort=b"beta", version="1"))["arm"] == "1"
    asked.endpoint = EndpointStub("m", asked.endpoint.arms, cohorts=rules)
    assert (await asked.facts())["arm"] == "3"
    assert (await asked.facts(cohort=b"beta"))["arm"] == "2"
    by = Counter((row.chosen, row.propensity) for row in await asked.settled())
    assert by == {("rule", 1.0): 4, ("sticky", 1.0): 1, ("named", 1.0): 1}


async def test_a_rule_for_a_version_that_may_not_answer_or_cannot_be_loaded_says_nothing(
    tmp_path: Path,
) -> None:
    rules = (Cohort("gone", "9", ()), Cohort("broken", "2", ()))
    broken = ArmStub("2", tmp_path / "nowhere", "0" * 64, *_form(tmp_path), weight=0)
    asked = Asked(arm(tmp_path, "1", 100), broken, cohorts=rules, shadows=(Shadow("9", 100),))
    for cohort in (b"gone", b"broken"):
        assert (await asked.facts(cohort=cohort))["arm"] == "1"
    assert {row.chosen for row in await asked.settled()} == {"split"}
    await asked.pool.close()


async def test_after_a_switch_the_version_before_stands_in_until_the_new_one_is_ready(tmp_path: Path) -> None:
    asked = Asked(arm(tmp_path, "1", 100), arm(tmp_path, "2", 0))
    await asked.ready()
    broken = ArmStub("2", tmp_path / "nowhere", "0" * 64, *_form(tmp_path), weight=100)
    asked.endpoint = EndpointStub("m", (replace(asked.endpoint.arms[0], weight=0), broken), asked.endpoint.id)
    told = [await asked.facts() for _ in range(5)]
    assert {(one["arm"], one["propensity"]) for one in told} == {("1", 1.0)}
    assert {row.chosen for row in await asked.settled()} == {"stand_in"}
    whole = arm(tmp_path, "2", 100)
    asked.endpoint = EndpointStub("m", (asked.endpoint.arms[0], whole), asked.endpoint.id)
    await asked.facts()
    await asked.pool.get(whole)
    assert (await asked.facts())["arm"] == "2"
    await asked.pool.close()


def _form(folder: Path) -> tuple[Any, Any]:
    known = arm(folder, "1", 0)
    return known.inputs, known.outputs


async def test_a_shadow_computes_its_share_behind_the_answers(ask: Any) -> None:
    asked = await ask(100, 0, shadows=(Shadow("2", 50),))
    answers = [await asked.infer() for _ in range(200)]
    assert {answer["model_version"] for answer in answers} == {"1"}
    rows = await asked.settled()
    mirrored = [row for row in rows if row.chosen == "shadow"]
    answered = {row.id: row for row in rows if row.chosen != "shadow"}
    assert len(answered) == 200
    assert 60 < len(mirrored) < 140
    for row in mirrored:
        assert row.mirror_of in answered
        assert row.model_version_id == asked.endpoint.arms[1].version_id
        assert (row.status, row.propensity) == (200, 0.5)


async def test_a_shadow_that_fails_fails_nobody(tmp_path: Path) -> None:
    failing = onnx_models.save(
        tmp_path,
        [
            helper.make_node("Cast", ["x"], ["i"], to=7),
            helper.make_node("Gather", ["table", "i"], ["y"]),
        ],
        [onnx_models.tensor("x", "FP32", -1, 4)],
        [onnx_models.tensor("y", "FP32", -1, 4)],
        constants={"table": np.zeros(2, dtype=np.float32)},
        version="2",
        weight=0,
    )
    asked = Asked(arm(tmp_path, "1", 100), failing, shadows=(Shadow("2", 100),))
    await asked.ready()
    before = shadowed("failed")
    assert (await asked.infer())["status"] == 200
    (shadow,) = [row for row in await asked.settled() if row.chosen == "shadow"]
    assert shadow.status >= 400
    assert shadowed("failed") == before + 1
    await asked.pool.close()


async def test_a_shadow_that_is_not_ready_or_too_slow_is_dropped_and_counted(tmp_path: Path) -> None:
    slow = onnx_models.slow(tmp_path, version="2", weight=0)
    quick = onnx_models.save(
        tmp_path,
        [helper.make_node("Identity", ["x"], ["y"])],
        [onnx_models.tensor("x", "FP32", -1, 1)],
        [onnx_models.tensor("y", "FP32", -1, 1)],
        version="1",
    )
    asked = Asked(quick, slow, shadows=(Shadow("2", 100),))
    asked.predictor._shadows._max_under_way = 2
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [1]}]}
    not_ready, dropped = shadowed("not ready"), shadowed("dropped")
    assert (await asked.infer(body=body))["status"] == 200
    assert shadowed("not ready") == not_ready + 1
    await asked.ready()
    for _ in range(40):
        assert (await asked.infer(body=body))["status"] == 200
    assert shadowed("dropped") > dropped
    assert len([row for row in await asked.settled() if row.chosen != "shadow"]) == 41
    await asked.pool.close()


async def test_a_version_with_traffic_is_no_shadow(ask: Any) -> None:
    asked = await ask(50, 50, shadows=(Shadow("2", 100),))
    await asked.infer()
    assert {row.chosen for row in await asked.settled()} == {"split"}


# --- The class that an answer says ---------------------------------------------------------------------------------


def reader(*outputs: tuple[str, str, list[int]]) -> ClassReader:
    return ClassReader.of([{"name": n, "datatype": d, "shape": s} for n, d, s in outputs])


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=20), st.floats(0.5, 2))
def test_probabilities_are_read_and_other_numbers_are_not(values: list[float], scale: float) -> None:
    row = np.array([values], dtype=np.float32)
    row /= row.sum()
    said, confidence = reader(("p", "FP32", [-1, -1])).read({"p": row})
    assert said == str(int(row[0].argmax()))
    assert confidence == pytest.approx(row.max())
    if abs(scale - 1) > 0.02:
        assert reader(("p", "FP32", [-1, -1])).read({"p": row * scale}) == ("", None)


def test_a_label_beside_the_probabilities_is_the_class() -> None:
    both = reader(("label", "INT64", [-1]), ("p", "FP32", [-1, 3]))
    outputs = {"label": np.array([7]), "p": np.array([[0.2, 0.5, 0.3]], dtype=np.float32)}
    assert both.read(outputs) == ("7", 0.5)
    assert both.read({"label": np.array([7, 8]), "p": np.zeros((2, 3))}) == ("", None)


@pytest.mark.parametrize(
    "outputs",
    [[], [("text", "BYTES", [-1])], [("picture", "FP32", [-1, 3, 224, 224])], [("v", "FP32", [-1, 4096])]],
    ids=str,
)
def test_what_is_no_classification_has_no_class(outputs: list[Any]) -> None:
    assert reader(*outputs) == ClassReader()
    assert ClassReader().read({"text": np.array([b"secret"], dtype=object)}) == ("", None)
