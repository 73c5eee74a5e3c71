"""The caches of the hot route: one load per miss, forgotten on a change, never older than promised."""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import pytest

from governance.access.recorder import recorder
from governance.decision import Decision
from governance.ethics.use import UNSAID, Use
from governance.principals import Principal
from inference.serving.errors import Overloaded
from inference.serving.lookups import CachedLookups, EndpointSnapshot, Verdict
from tests.factories.onnx_models import EndpointStub

TENANT = uuid4()


class Source:
    """The truth, which counts how often it is asked and can be made slow."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.expires_at = time.time() + 3600
        self.known = {"good"}
        self.endpoint_stub: EndpointStub | None = EndpointStub("m", ())
        self.allow = True
        self.valid_until = math.inf
        self.decision: Decision | None = None
        self.started, self.go = threading.Event(), threading.Event()
        self.go.set()

    def identify(self, token: str) -> tuple[Principal, float, str] | None:
        self.asked["identify"] += 1
        known = token in self.known
        self.started.set()
        assert self.go.wait(10)
        return (Principal("client", token, token, tenant_id=TENANT), self.expires_at, "") if known else None

    def endpoint(self, tenant_id: UUID, name: str) -> EndpointSnapshot | None:
        self.asked["endpoint"] += 1
        return self.endpoint_stub

    def endpoints(self, tenant_id: UUID) -> Sequence[str]:
        self.asked["endpoints"] += 1
        return ["m"]

    def authorize(self, principal: Principal, endpoint: EndpointSnapshot, use: Use = UNSAID) -> Verdict:
        self.asked["authorize"] += 1
        return Verdict(self.allow, "because", self.valid_until, decision=self.decision)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def lookups(source: Source, clock: Clock) -> AsyncIterator[CachedLookups]:
    made = CachedLookups(source, max_age_s=60, max_waiting=4, clock=clock)
    made.heard(True)
    yield made
    source.go.set()
    made.close()


async def test_a_token_is_looked_up_once(source: Source, lookups: CachedLookups) -> None:
    callers = await asyncio.gather(*(lookups.identify("good") for _ in range(50)))
    assert source.asked["identify"] == 1
    assert callers[0] is not None
    assert all(caller is callers[0] for caller in callers)


async def test_a_token_dies_when_it_expires(source: Source, lookups: CachedLookups) -> None:
    source.expires_at = time.time() + 0.05
    assert await lookups.identify("good")
    await asyncio.sleep(0.06)
    assert await lookups.identify("good") is None


@pytest.mark.parametrize(
    ("topic", "key"),
    [
        ("token", hashlib.sha256(b"good").hexdigest()),
        ("token", "anything else"),
        ("application", "1"),
        ("membership", "1"),
        ("tenant", "1"),
        ("a topic of a later version", "1"),
    ],
)
async def test_a_revoked_token_is_refused_at_once(
    source: Source, lookups: CachedLookups, topic: str, key: str
) -> None:
    assert await lookups.identify("good")
    source.known.clear()
    assert await lookups.identify("good")
    lookups.invalidate(topic, key)
    assert await lookups.identify("good") is None


async def test_another_tokens_revocation_leaves_a_token_alone(source: Source, lookups: CachedLookups) -> None:
    await lookups.identify("good")
    lookups.invalidate("token", hashlib.sha256(b"other").hexdigest())
    await lookups.identify("good")
    assert source.asked["identify"] == 1


async def test_what_was_read_before_a_change_is_not_kept(source: Source, lookups: CachedLookups) -> None:
    source.go.clear()
    slow = asyncio.ensure_future(lookups.identify("good"))
    await asyncio.to_thread(source.started.wait, 10)
    source.known.clear()
    lookups.invalidate("token", hashlib.sha256(b"good").hexdigest())
    source.go.set()
    await slow
    assert await lookups.identify("good") is None


async def test_nobody_joins_a_load_that_a_change_overtook(source: Source, lookups: CachedLookups) -> None:
    source.go.clear()
    slow = asyncio.ensure_future(lookups.identify("good"))
    await asyncio.to_thread(source.started.wait, 10)
    source.known.clear()
    lookups.invalidate("application", "1")
    later = asyncio.ensure_future(lookups.identify("good"))
    await asyncio.sleep(0)
    source.go.set()
    await slow
    assert await later is None


async def test_unheard_of_changes_are_believed_for_one_second_only(
    source: Source, lookups: CachedLookups, clock: Clock
) -> None:
    await lookups.identify("good")
    lookups.heard(False)
    await lookups.identify("good")
    assert source.asked["identify"] == 2
    clock.now += 0.9
    await lookups.identify("good")
    assert source.asked["identify"] == 2
    clock.now += 0.2
    await lookups.identify("good")
    assert source.asked["identify"] == 3


async def test_entries_age_even_while_changes_are_heard(
    source: Source, lookups: CachedLookups, clock: Clock
) -> None:
    await lookups.identify("good")
    clock.now += 61
    await lookups.identify("good")
    assert source.asked["identify"] == 2


async def test_unknown_tokens_are_remembered_briefly(
    source: Source, lookups: CachedLookups, clock: Clock
) -> None:
    for _ in range(3):
        assert await lookups.identify("bad") is None
    assert source.asked["identify"] == 1
    clock.now += 1.1
    await lookups.identify("bad")
    assert source.asked["identify"] == 2


async def test_guessing_does_not_push_out_good_tokens(source: Source) -> None:
    lookups = CachedLookups(source, max_tokens=10)
    lookups.heard(True)
    await lookups.identify("good")
    for guess in range(50):
        await lookups.identify(f"guess-{guess}")
    asked = source.asked["identify"]
    assert await lookups.identify("good")
    assert source.asked["identify"] == asked
    lookups.close()


async def test_too_many_misses_at_once_are_refused(source: Source, lookups: CachedLookups) -> None:
    source.go.clear()
    waiting = [asyncio.ensure_future(lookups.identify(f"t{i}")) for i in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await lookups.identify("one too many")
    source.go.set()
    await asyncio.gather(*waiting)


async def test_a_caller_who_gives_up_does_not_take_the_load_from_others(
    source: Source, lookups: CachedLookups
) -> None:
    source.go.clear()
    first, second = (asyncio.ensure_future(lookups.identify("good")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    source.go.set()
    assert await second
    assert source.asked["identify"] == 1


async def test_decisions_are_cached_until_grants_or_policies_change(
    source: Source, lookups: CachedLookups, clock: Clock
) -> None:
    caller, endpoint = await lookups.identify("good"), await lookups.endpoint(TENANT, "m")
    assert caller and endpoint
    for _ in range(3):
        assert (await lookups.authorize(caller, endpoint)).allow
    assert source.asked["authorize"] == 1
    for topic in ("grant", "policy", "endpoint", "tenant"):
        source.allow = not source.allow
        lookups.invalidate(topic, "1")
        assert (await lookups.authorize(caller, endpoint)).allow is source.allow
    asked = source.asked["authorize"]
    clock.now += 61
    await lookups.authorize(caller, endpoint)
    assert source.asked["authorize"] == asked + 1


async def test_a_decision_is_kept_no_longer_than_it_says(source: Source, lookups: CachedLookups) -> None:
    caller, endpoint = await lookups.identify("good"), await lookups.endpoint(TENANT, "m")
    assert caller and endpoint
    source.valid_until = time.time() + 0.05
    await lookups.authorize(caller, endpoint)
    await lookups.authorize(caller, endpoint)
    assert source.asked["authorize"] == 1
    await asyncio.sleep(0.06)
    await lookups.authorize(caller, endpoint)
    assert source.asked["authorize"] == 2


async def test_answers_from_memory_are_counted_in_the_record(
    source: Source, lookups: CachedLookups, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[Decision, int]] = []
    monkeypatch.setattr(recorder, "count", lambda decision, times: counted.append((decision, times)))
    caller, endpoint = await lookups.identify("good"), await lookups.endpoint(TENANT, "m")
    assert caller and endpoint
    source.decision = Decision(True, "a", (), caller.principal)
    for _ in range(8):
        await lookups.authorize(caller, endpoint)
    lookups.close()
    # The first was recorded where it was made.
    assert counted == [(source.decision, 7)]


async def test_endpoints_are_cached_until_one_changes(source: Source, lookups: CachedLookups) -> None:
    for _ in range(3):
        assert await lookups.endpoint(TENANT, "m") is source.endpoint_stub
        assert await lookups.endpoints(TENANT) == ["m"]
    assert source.asked == {"endpoint": 1, "endpoints": 1}
    source.endpoint_stub = None
    lookups.invalidate("endpoint", "1")
    assert await lookups.endpoint(TENANT, "m") is None


async def test_a_failing_source_fails_the_request_and_is_asked_again(
    lookups: CachedLookups, source: Source
) -> None:
    def broken(token: str) -> None:
        raise ConnectionError("the database is away")

    working, source.identify = source.identify, broken  # type: ignore[assignment, method-assign]
    with pytest.raises(Overloaded, match="cannot be looked up"):
        await lookups.identify("good")
    source.identify = working  # type: ignore[method-assign]
    assert await lookups.identify("good")
