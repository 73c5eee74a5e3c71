"""The journey of an experiment on a phone: planned, started, read, decided. Nothing is wider than the screen."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.urls import reverse
from playwright.sync_api import expect

from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from tests.factories.inference import adding_model, make_endpoint, make_version

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"width": 360, "height": 740}
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def three(org, principal_for):
    """An endpoint and its three versions by number; the first has all traffic."""
    admin = principal_for(org, Role.TENANT_ADMIN)
    made = [make_version(admin)]
    made += [make_version(admin, version=f"{n:.0f}.0.0", artifact=adding_model(n)) for n in (2.0, 3.0)]
    return make_endpoint(admin, made[0]), {version.version: version for version in made}


@pytest.fixture
def answered(org, three):
    """`answered("2.0.0", 300, failed=20, propensity=0.3)`: answers of a version, the first ones failed."""
    from inference.rollouts.lifecycle import database_time
    from inference.rollouts.models import OutcomeRecord

    endpoint, versions = three

    def write(version, count, *, failed, propensity):
        with tenant_context(org.id), transaction.atomic():
            OutcomeRecord.objects.bulk_create(
                OutcomeRecord(
                    id=uuid7(), tenant=org, endpoint=endpoint, model_version=versions[version],
                    at=database_time(), latency_us=1_000, status=500 if n < failed else 200, rows=1,
                    bytes_in=1, chosen="split", propensity=propensity,
                )
                for n in range(count)
            )  # fmt: skip

    return write


def test_from_the_plan_to_the_winner(org, member, three, answered, open_as, keep):
    from inference.rollouts import controller
    from inference.rollouts.models import Rollout

    endpoint, _versions = three
    member(org, Role.TENANT_ADMIN, username="anna")
    answered("1.0.0", 400, failed=120, propensity=1.0)
    anna = open_as("anna")
    anna.set_viewport_size(PHONE)
    anna.goto(reverse("endpoint", args=[endpoint.id]))
    anna.get_by_role("link", name="New experiment").click()
    assert anna.evaluate(WIDER) <= 0
    for version, share in (("1.0.0", "40"), ("2.0.0", "30"), ("3.0.0", "30")):
        anna.locator(f"[name='share-{version}']").fill(share)
    anna.get_by_label("Smallest difference that matters").fill("10")
    anna.get_by_label("Least time, in hours").fill("0")
    anna.get_by_role("button", name="How long does it take?").click()
    expect(anna.get_by_role("heading", name="How long it takes")).to_be_visible()
    assert anna.evaluate(WIDER) <= 0
    keep(anna, "experiment-plan-phone")
    anna.get_by_role("button", name="Start").click()
    expect(anna.get_by_text("The experiment has begun")).to_be_visible()
    # A changed split counts from a second after it on.
    anna.wait_for_timeout(1_500)
    answered("1.0.0", 400, failed=120, propensity=0.4)
    answered("2.0.0", 300, failed=15, propensity=0.3)
    answered("3.0.0", 300, failed=90, propensity=0.3)
    with platform_scope(), transaction.atomic():
        Rollout.objects.update(looked_at=None)
    controller.control_rollouts()
    anna.reload()
    expect(anna.get_by_text("2.0.0 wins").first).to_be_visible()
    expect(anna.get_by_text("All intervals hold together")).to_be_visible()
    assert anna.evaluate(WIDER) <= 0
    keep(anna, "experiment-phone")
    anna.set_viewport_size({"width": 1360, "height": 850})
    keep(anna, "experiment")
    anna.get_by_label("The version that wins").select_option("2.0.0")
    anna.get_by_role("button", name="Promote now").click()
    expect(anna.get_by_text("Done; every process follows it").first).to_be_visible()
    with platform_scope(), transaction.atomic():
        assert Rollout.objects.get().state == "promoted"
