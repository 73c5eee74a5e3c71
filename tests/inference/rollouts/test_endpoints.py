"""Endpoints: splits that are whole, rollback that never goes forward, and the constraints under both."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, InvalidInput, NotFound
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from inference.registry.services import retire_version
from inference.rollouts import services
from inference.rollouts.models import Endpoint, EndpointArm, SplitChange
from inference.rollouts.selectors import endpoint_names, endpoint_snapshot, visible_endpoints
from tests.factories.inference import adding_model, make_endpoint, make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def endpoint(admin):
    first = make_version(admin)
    for number in (2.0, 3.0):
        make_version(admin, version=f"{number:.0f}.0.0", artifact=adding_model(number))
    return make_endpoint(admin, first)


def split_of(endpoint):
    snapshot = endpoint_snapshot(endpoint.tenant_id, endpoint.name)
    return {arm.version: arm.weight for arm in snapshot.arms}


def move(admin, endpoint, weights, reason="canary"):
    with tenant_context(admin.tenant_id):
        return services.set_split(principal=admin, endpoint_id=endpoint.id, weights=weights, reason=reason)


def back(admin, endpoint, **more):
    with tenant_context(admin.tenant_id):
        return services.roll_back(principal=admin, endpoint_id=endpoint.id, reason="worse", **more)


def test_a_new_endpoint_sends_everything_to_one_version(admin, endpoint, org):
    snapshot = endpoint_snapshot(org.id, "adder")
    (arm,) = snapshot.arms
    assert (arm.version, arm.weight) == ("1.0.0", 100)
    assert arm.artifact_path.read_bytes() == adding_model()
    assert endpoint_names(org.id) == ("adder",)
    assert endpoint_snapshot(org.id, "unknown") is None
    with tenant_context(org.id), transaction.atomic():
        version = EndpointArm.objects.get().model_version
    assert make_endpoint(admin, version) == endpoint


def test_a_canary_and_back_with_its_history(admin, endpoint, org):
    move(admin, endpoint, {"1.0.0": 90, "2.0.0": 10})
    move(admin, endpoint, {"1.0.0": 50, "2.0.0": 50, "3.0.0": 0})
    assert split_of(endpoint) == {"1.0.0": 50, "2.0.0": 50, "3.0.0": 0}
    back(admin, endpoint)
    assert split_of(endpoint) == {"1.0.0": 90, "2.0.0": 10}
    back(admin, endpoint)
    assert split_of(endpoint) == {"1.0.0": 100}
    with pytest.raises(Conflict, match="no earlier split"):
        back(admin, endpoint)
    with tenant_context(org.id), transaction.atomic():
        kinds = list(SplitChange.objects.order_by("id").values_list("kind", flat=True))
        assert kinds == ["create", "set", "set", "roll_back", "roll_back"]
        actions = AuditEntry.objects.filter(action__startswith="rollouts.").order_by("sequence")
        assert list(actions.values_list("action", flat=True)) == [
            "rollouts.endpoint.create",
            "rollouts.endpoint.split",
            "rollouts.endpoint.split",
            "rollouts.endpoint.roll_back",
            "rollouts.endpoint.roll_back",
        ]


def test_a_second_click_on_roll_back_does_nothing(admin, endpoint, org):
    move(admin, endpoint, {"1.0.0": 90, "2.0.0": 10})
    move(admin, endpoint, {"2.0.0": 100})
    with tenant_context(org.id), transaction.atomic():
        last = services.last_change_in_force(endpoint)
    back(admin, endpoint, expected_change_id=last.id)
    with pytest.raises(Conflict, match="not the last one"):
        back(admin, endpoint, expected_change_id=last.id)
    assert split_of(endpoint) == {"1.0.0": 90, "2.0.0": 10}


def test_the_same_split_again_is_no_change(admin, endpoint, org):
    move(admin, endpoint, {"1.0.0": 100})
    with tenant_context(org.id), transaction.atomic():
        assert SplitChange.objects.count() == 1


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"1.0.0": 99},
        {"1.0.0": 101},
        {"1.0.0": 150, "2.0.0": -50},
        {"1.0.0": 50.0, "2.0.0": 50.0},
        {"1.0.0": True, "2.0.0": 99},
        {"9.9.9": 100},
    ],
    ids=str,
)
def test_splits_that_are_refused(admin, endpoint, weights):
    with pytest.raises(InvalidInput):
        move(admin, endpoint, weights)
    assert split_of(endpoint) == {"1.0.0": 100}


def test_versions_of_another_signature_or_state_get_no_traffic(admin, endpoint, org):
    make_version(admin, version="4.0.0", inputs=[{"name": "x", "datatype": "FP32", "shape": [-1, 9]}])
    with pytest.raises(InvalidInput, match="different signatures"):
        move(admin, endpoint, {"1.0.0": 50, "4.0.0": 50})
    make_version(admin, version="5.0.0", format="safetensors")
    with pytest.raises(Conflict, match="only a ready version"):
        move(admin, endpoint, {"5.0.0": 100})
    foreign = make_version(admin, model="other", version="6.0.0")
    with pytest.raises(InvalidInput, match="no version"):
        move(admin, endpoint, {"6.0.0": 100})
    with pytest.raises(Conflict, match="already an endpoint"):
        make_endpoint(admin, foreign)


def test_a_version_with_traffic_is_not_retired(admin, endpoint, org):
    move(admin, endpoint, {"1.0.0": 100, "2.0.0": 0})
    with tenant_context(org.id), transaction.atomic():
        arms = {arm.model_version.version: arm.model_version_id for arm in EndpointArm.objects.all()}
    with tenant_context(org.id):
        with pytest.raises(Conflict, match="still sends traffic"):
            retire_version(principal=admin, version_id=arms["1.0.0"], reason="")
        retire_version(principal=admin, version_id=arms["2.0.0"], reason="")
    assert split_of(endpoint) == {"1.0.0": 100}


def test_roll_back_to_a_retired_version_is_refused_whole(admin, endpoint, org):
    move(admin, endpoint, {"2.0.0": 100})
    with tenant_context(org.id), transaction.atomic():
        first = SplitChange.objects.get(kind="create").endpoint.model.versions.get(version="1.0.0")
    with tenant_context(org.id):
        retire_version(principal=admin, version_id=first.id, reason="")
    with pytest.raises(Conflict, match="only a ready version"):
        back(admin, endpoint)
    assert split_of(endpoint) == {"2.0.0": 100}


@pytest.mark.parametrize("scope", ["tenant", "none at the end"])
def test_the_database_itself_keeps_a_split_whole(endpoint, org, scope):
    context = tenant_context(org.id) if scope == "tenant" else platform_scope()
    with pytest.raises(IntegrityError, match="does not sum to 100"), transaction.atomic(), context:
        EndpointArm.objects.filter(endpoint=endpoint).update(weight=40)


def test_the_history_cannot_be_changed(endpoint, org):
    for change in (lambda rows: rows.update(reason="x"), lambda rows: rows.delete()):
        with (
            tenant_context(org.id),
            pytest.raises(DatabaseError, match="append-only"),
            transaction.atomic(),
        ):
            change(SplitChange.objects.all())


def test_who_may(endpoint, org, other_org, principal_for):
    developer = principal_for(org, Role.DEVELOPER)
    with tenant_context(org.id), pytest.raises(AccessDenied):
        services.set_split(principal=developer, endpoint_id=endpoint.id, weights={"2.0.0": 100})
    stranger = principal_for(other_org, Role.TENANT_ADMIN)
    with tenant_context(other_org.id):
        with pytest.raises(NotFound):
            services.roll_back(principal=stranger, endpoint_id=endpoint.id, reason="")
        with transaction.atomic():
            assert not Endpoint.objects.exists()
            assert not visible_endpoints(stranger).exists()
    assert endpoint_snapshot(other_org.id, "adder") is None
