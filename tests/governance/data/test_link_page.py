"""Somebody writes down what an asset came of, on its page or by command; its source's label comes with that."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from governance.data import services
from governance.data.models import Asset, LineageEdge
from governance.ids import uuid7
from governance.principals import SYSTEM, Role
from governance.refs import ObjectRef
from governance.tenants.context import tenant_context

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


@pytest.fixture
def in_org(org):
    with tenant_context(org.id):
        yield org


def thing(tenant, name: str, label: str) -> Asset:
    ref = ObjectRef(type="tests.data", id=str(uuid7()), label=name)
    return services.register_asset(principal=SYSTEM, target=ref, tenant_id=tenant.id, label=label)


def write(client: Client, asset: Asset, **form: str) -> str:
    return client.post(reverse("data-link", args=[asset.id]), form, follow=True).content.decode()


def edges() -> list[tuple[str, str, str]]:
    rows = LineageEdge.objects.order_by("at")
    return list(rows.values_list("source__name", "target__name", "relation"))


def test_by_name_or_id_it_is_kept_and_the_label_rises(in_org, browser):
    _scans, sample, report = (
        thing(in_org, name, label)
        for name, label in (("scans", "restricted"), ("sample", "internal"), ("report", "public"))
    )
    steward = browser(in_org, Role.DATA_SCIENTIST)
    assert (
        reverse("data-link", args=[sample.id])
        in steward.get(reverse("data-asset", args=[sample.id])).content.decode()
    )
    assert "it came of “scans”" in write(steward, sample, source="scans", relation="derived_from")
    assert "it came of “sample”" in write(steward, report, source=str(sample.id), relation="derived_from")
    assert edges() == [("scans", "sample", "derived_from"), ("sample", "report", "derived_from")]
    assert set(Asset.objects.values_list("label", flat=True)) == {"restricted"}


def test_what_cannot_be_kept_is_explained(in_org, other_org, browser):
    sample = thing(in_org, "sample", "internal")
    for _copy in range(2):
        thing(in_org, "twice", "internal")
    with tenant_context(other_org.id):
        foreign = thing(other_org, "theirs", "internal")
    steward = browser(in_org, Role.DATA_SCIENTIST)
    for source, relation, says in (
        ("nowhere", "derived_from", "no such asset"),
        ("theirs", "derived_from", "no such asset"),
        (str(foreign.id), "derived_from", "no such asset"),
        ("twice", "derived_from", "Several assets"),
        (str(sample.id), "derived_from", "Nothing comes of itself"),
        (str(uuid7()), "derived_from", "no such asset"),
    ):
        assert says in write(steward, sample, source=source, relation=relation), source
    other = thing(in_org, "other", "internal")
    assert "no relation of lineage" in write(steward, sample, source=str(other.id), relation="married_to")
    assert edges() == []


def test_who_may_not_register_data_may_not_link_it(in_org, other_org, platform, browser):
    scans, sample = thing(in_org, "scans", "restricted"), thing(in_org, "sample", "internal")
    address, form = (
        reverse("data-link", args=[sample.id]),
        {"source": str(scans.id), "relation": "derived_from"},
    )
    assert browser(other_org, Role.TENANT_ADMIN).post(address, form).status_code == 404
    # An officer sees the page, for the platform's roles do, and no form on it.
    officer = browser(platform, Role.ETHICS_OFFICER)
    page = officer.get(reverse("data-asset", args=[sample.id]))
    assert page.status_code == 200
    assert address not in page.content.decode()
    assert officer.post(address, form).status_code == 403
    assert edges() == []


def test_the_command_line_writes_the_same(in_org):
    scans, sample = thing(in_org, "scans", "restricted"), thing(in_org, "sample", "internal")
    options = [f"--tenant={in_org.slug}"]
    call_command("data", "link", "sample", str(scans.id), "--relation=trained_on", *options)
    assert edges() == [("scans", "sample", "trained_on")]
    sample.refresh_from_db()
    assert sample.label == "restricted"
    for wrong, says in (
        (("sample", "nowhere"), "no such asset"),
        (("sample", "sample"), "Nothing comes of itself"),
        (("sample", "scans", "--relation=married_to"), "no relation of lineage"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("data", "link", *wrong, *options)
    with pytest.raises(CommandError, match="--tenant"):
        call_command("data", "link", "sample", "scans")
    assert len(edges()) == 1
