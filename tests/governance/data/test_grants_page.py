"""On a dataset's page an administrator says which applications may have work done on it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from governance.access.grants import holders
from governance.data.datasets import upload_dataset
from governance.data.policies import READ_GRANT
from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import tenant_context
from tests.factories.governance import make_application

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("valkey")]


@pytest.fixture
def dataset(org, principal_for):
    with tenant_context(org.id):
        return upload_dataset(
            principal=principal_for(org, Role.TENANT_ADMIN),
            name="loans",
            filename="loans.jsonl",
            chunks=[b'{"x": [1.0]}\n'],
            label="confidential",
        )


@pytest.fixture
def program(org):
    return make_application(org, scopes=["batch:write"])[0]


def may_use(dataset) -> list[str]:
    return list(holders(permission=READ_GRANT, object_id=str(dataset.id)).values_list("username", flat=True))


def test_the_right_is_given_and_taken_back(org, dataset, program, browser):
    admin = browser(org, Role.TENANT_ADMIN)
    page, grants = (
        reverse("data-asset", args=[dataset.asset_id]),
        reverse("page-dataset-grants", args=[dataset.id]),
    )
    assert "None yet" in admin.get(page).content.decode()
    shown = admin.post(grants, {"give": str(program.id)}, follow=True).content.decode()
    assert "may have work done on this dataset now" in shown
    assert f"Take the right back from {program.name}" in shown
    assert may_use(dataset) == [program.service_user.username]
    shown = admin.post(grants, {"take": str(program.id)}, follow=True).content.decode()
    assert "None yet" in shown
    assert may_use(dataset) == []


def test_nobody_else_gives_it(org, other_org, dataset, program, browser):
    grants, form = reverse("page-dataset-grants", args=[dataset.id]), {"give": str(program.id)}
    scientist = browser(org, Role.DATA_SCIENTIST)
    page = scientist.get(reverse("data-asset", args=[dataset.asset_id])).content.decode()
    assert "Applications that may use it" in page
    assert grants not in page
    assert scientist.post(grants, form).status_code == 403
    assert browser(other_org, Role.TENANT_ADMIN).post(grants, form).status_code == 404
    assert may_use(dataset) == []


def test_what_cannot_be_given_is_refused(org, other_org, dataset, browser):
    admin, grants = browser(org, Role.TENANT_ADMIN), reverse("page-dataset-grants", args=[dataset.id])
    foreign = make_application(other_org, scopes=["batch:write"])[0]
    for given, status in (("nothing of the list", 400), (str(uuid7()), 404), (str(foreign.id), 404)):
        assert admin.post(grants, {"give": given}).status_code == status, given
    assert may_use(dataset) == []
