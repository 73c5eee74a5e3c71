"""Callers identified from memory: their requests are counted, and an unusual rate reaches the next decision."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from governance.access.rates import RateWatch, account_of, program, tokens_of
from governance.principals import Factor, Principal, Signals
from inference.serving.caller_rates import JUDGE_S
from inference.serving.lookups import CachedLookups, Verdict
from tests.inference.serving.test_lookups import TENANT, Clock, Source

NEEDS_ASSURANCE = """
@id("bank.predictions-need-a-sure-caller")
@reason("Predictions need a caller of whom we are sure.")
@step_up("1 0")
forbid (principal is Client, action == Action::"rollouts.endpoint.invoke", resource)
when { principal.assurance < 1 };
"""


class SureSource(Source):
    """Answers as a policy that wants assurance would; `identify` gives a program that has just shown its secret."""

    def identify(self, token):
        found = super().identify(token)
        assert found is not None
        signals = Signals(factor=Factor.SECRET, factor_at=time.time() - 60)
        return replace(found[0], signals=signals), *found[1:]

    def authorize(self, principal, endpoint, use=None):
        self.asked["authorize"] += 1
        return Verdict(not principal.signals.unusual_rate, "because")


@pytest.fixture
def source():
    return SureSource()


@pytest.fixture
async def lookups(source):
    made = CachedLookups(source, clock=Clock(), rates=RateWatch(floor=10, learning=0))
    made.heard(True)
    yield made
    made.close()


async def test_a_burst_reaches_the_next_decision(source, lookups):
    caller, endpoint = await lookups.identify("good"), await lookups.endpoint(TENANT, "m")
    for _ in range(5):
        assert await lookups.identify("good") is caller
        assert (await lookups.authorize(caller, endpoint)).allow
    assert source.asked["authorize"] == 1
    for _ in range(20):
        await lookups.identify("good")
    await asyncio.sleep(2 * JUDGE_S)  # the loop calls what is due in its order, however late
    assert not (await lookups.authorize(caller, endpoint)).allow
    assert source.asked == {"identify": 1, "endpoint": 1, "authorize": 2}


async def test_tokens_of_one_program_are_counted_together(source, lookups):
    principal = Principal("client", "one", "one", tenant_id=TENANT)
    source.identify = lambda token: (principal, source.expires_at, "")
    callers = [await lookups.identify(token) for token in ("a", "b", "c")]
    for token in ("a", "b", "c"):
        for _ in range(5):
            await lookups.identify(token)
    lookups._rates.judge()
    # No token came more often than the floor, all together did; the first to be judged hears of it at the next.
    await asyncio.gather(*(lookups.identify(token) for token in ("a", "b", "c")))
    lookups._rates.judge()
    assert all(caller.principal.signals.unusual_rate for caller in callers)


async def test_a_new_proof_or_the_end_of_the_flag_takes_it_away(source):
    now = [10_000.0]
    rates = RateWatch(floor=10, learning=0, clock=lambda: now[0])
    lookups = CachedLookups(source, clock=Clock(), rates=rates)
    lookups.heard(True)
    proven_at = now[0] - 5

    def identify(token):
        signals = Signals(factor=Factor.SECRET, factor_at=proven_at)
        return Principal("client", "one", "one", tenant_id=TENANT, signals=signals), source.expires_at, ""

    source.identify = identify
    old = await lookups.identify("old")
    for _ in range(20):
        await lookups.identify("old")
    lookups._rates.judge()
    assert old.principal.signals.unusual_rate
    now[0] += 20
    proven_at = now[0]
    new = await lookups.identify("new")
    lookups._rates.judge()
    assert not new.principal.signals.unusual_rate
    now[0] += 600
    await lookups.identify("old")
    lookups._rates.judge()
    assert not old.principal.signals.unusual_rate
    lookups.close()


async def test_what_was_being_decided_meanwhile_is_not_kept(source, lookups):
    caller, endpoint = await lookups.identify("good"), await lookups.endpoint(TENANT, "m")
    asked = asyncio.ensure_future(lookups.authorize(caller, endpoint))
    await asyncio.sleep(0)
    caller.principal = replace(caller.principal, signals=Signals(unusual_rate=True))
    assert (await asked).allow
    assert not (await lookups.authorize(caller, endpoint)).allow


async def test_a_gap_in_hearing_loses_no_count(source, lookups):
    caller = await lookups.identify("good")
    for _ in range(20):
        await lookups.identify("good")
    lookups.heard(False)
    assert caller.principal.signals.unusual_rate


def test_what_requests_are_counted_under():
    assert account_of(Principal("client", "7", "a program")) == program("7")
    assert account_of(Principal("user", "7", "anna", scopes=frozenset())) == tokens_of("7") != program("7")


@pytest.mark.django_db(transaction=True)
def test_the_real_decision_point_asks_an_unusual_program_for_its_secret_again():
    from governance.access.principals import principal_for_user
    from governance.principals import Role
    from governance.tenants.context import tenant_context
    from inference.serving.sources import DatabaseSource
    from tests.factories.governance import bearer_token, make_member, proven
    from tests.factories.policies import enact_policies
    from tests.inference.serving.site_house import House

    house = House()
    second = principal_for_user(
        make_member(house.tenant, Role.TENANT_ADMIN), tenant_id=house.tenant.id, signals=proven()
    )
    with tenant_context(house.tenant.id):
        enact_policies(house.principal, second, NEEDS_ASSURANCE)

    async def main():
        lookups = CachedLookups(DatabaseSource(), rates=RateWatch(floor=50, learning=0))
        lookups.heard(True)
        endpoint = await lookups.endpoint(house.tenant.id, "adder")
        caller = await lookups.identify(house.token)
        assert (await lookups.authorize(caller, endpoint)).allow
        for _ in range(100):
            await lookups.identify(house.token)
        lookups._rates.judge()
        refused = await lookups.authorize(caller, endpoint)
        assert not refused.allow
        assert refused.step_up is not None
        token = await asyncio.to_thread(bearer_token, house.application, house.secret)
        proven_anew = await lookups.identify(token)
        assert (await lookups.authorize(proven_anew, endpoint)).allow
        lookups.close()

    asyncio.run(main())
