"""Writing everything anew: in steps, to the end, whatever interrupts it."""

from __future__ import annotations

import base64
import errno
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.utils import timezone

from governance.errors import Conflict, IllegalTransition, NotFound, Unavailable
from governance.identity.models import IdentityProvider
from governance.ids import uuid7
from governance.keys import columns, envelopes, rewriting, selectors, services
from governance.keys.errors import Altered, KeysUnavailable
from governance.keys.models import ReEncryption
from governance.principals import Role
from governance.tenants.context import tenant_context

pytestmark = pytest.mark.django_db
State = ReEncryption.State
PURPOSE = "test.secret"
WHOLE = 3600.0  # one step does it all, however slow the machine


@dataclass
class Shelf:
    """Sealed objects in a dictionary."""

    org: object
    name: str = "test.shelf"
    purpose: str = PURPOSE
    objects: dict[str, bytes] = field(default_factory=dict)
    visited: list[str] = field(default_factory=list)
    fails: int = 0
    error: Exception = field(default_factory=lambda: KeysUnavailable("away"))

    def fill(self, count):
        for i in range(count):
            key = f"{i:04}"
            self.objects[key] = envelopes.seal(
                key.encode(), tenant_id=self.org.id, purpose=PURPOSE, object_id=key
            )

    def count(self, tenant_id):
        return len(self.objects)

    def keys(self, tenant_id, *, after, limit):
        return [key for key in sorted(self.objects) if key > after][:limit]

    def rewrite(self, tenant_id, key):
        self.visited.append(key)
        if self.fails:
            self.fails -= 1
            raise self.error
        new = envelopes.resealed(self.objects[key], tenant_id=tenant_id, purpose=PURPOSE, object_id=key)
        if new:
            self.objects[key] = new
        return new is not None


@pytest.fixture
def admin(org, principal_for):
    return principal_for(org, Role.TENANT_ADMIN)


@pytest.fixture
def shelf(org, monkeypatch):
    monkeypatch.setattr(rewriting, "_collections", {})
    with tenant_context(org.id):
        made = Shelf(org)
        rewriting.register(made)
        yield made


@pytest.fixture
def rotated(org, shelf, admin):
    shelf.fill(250)
    return services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=PURPOSE)


def opened(shelf, key):
    return envelopes.unseal(shelf.objects[key], tenant_id=shelf.org.id, purpose=PURPOSE, object_id=key)


def test_everything_is_sealed_with_the_active_key_in_the_end(org, shelf, rotated, admin):
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    assert (job.state, job.total, job.percent) == (State.QUEUED, 250, 0)
    assert services.step(job.id, org.id, limit_s=WHOLE) is False
    job.refresh_from_db()
    assert (job.state, job.seen, job.rewritten, job.percent) == (State.DONE, 250, 250, 100)
    assert {envelopes.data_key_of(blob) for blob in shelf.objects.values()} == {rotated.id}
    assert opened(shelf, "0123") == b"0123"
    assert services.step(job.id, org.id, limit_s=WHOLE) is False


def test_it_goes_on_where_it_was_interrupted(org, shelf, rotated, admin):
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    steps = 0
    while services.step(job.id, org.id, limit_s=0):
        steps += 1
        if steps == 3:
            shelf.fails = 1
            assert services.step(job.id, org.id, limit_s=WHOLE) is False
            job.refresh_from_db()
            assert (job.state, "(away)" in job.waits_for) == (State.RUNNING, True)
            ReEncryption.objects.update(touched_at=timezone.now() - timedelta(minutes=1))
            assert services.resume_stalled() == 1
        if steps == 5:
            break
    services.step(job.id, org.id, limit_s=WHOLE)
    job.refresh_from_db()
    assert (job.state, job.seen, job.rewritten) == (State.DONE, 250, 250)
    assert len(shelf.visited) == 251, "only the object that failed is visited twice"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unavailable("The file storage does not answer."), "The file storage does not answer."),
        (
            PermissionError(errno.EACCES, "Permission denied", "/secret/path"),
            "A file cannot be read or written: Permission denied.",
        ),
    ],
)
def test_what_is_out_of_reach_is_waited_for_and_never_passed_over(org, shelf, rotated, admin, error, said):
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    shelf.fails, shelf.error = 2, error
    for _ in range(2):
        assert services.step(job.id, org.id, limit_s=WHOLE) is False
        job.refresh_from_db()
        assert (job.state, job.waits_for, job.problems, job.seen) == (State.RUNNING, said, [], 0)
        assert [problem for problem in selectors.problems() if said in problem]
    assert services.step(job.id, org.id, limit_s=WHOLE) is False
    job.refresh_from_db()
    assert (job.state, job.waits_for, job.rewritten) == (State.DONE, "", 250)


def test_doing_it_twice_changes_nothing(org, shelf, rotated, admin):
    for rewritten in (250, 0):
        job = services.re_encrypt(principal=admin, tenant_id=org.id)
        services.step(job.id, org.id, limit_s=WHOLE)
        job.refresh_from_db()
        assert job.rewritten == rewritten


def test_it_can_be_cancelled_and_what_is_left_stays_readable(org, shelf, rotated, admin):
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    assert services.step(job.id, org.id, limit_s=0)
    with pytest.raises(Conflict, match="under way"):
        services.re_encrypt(principal=admin, tenant_id=org.id)
    services.cancel_re_encryption(principal=admin, job_id=job.id)
    assert services.step(job.id, org.id, limit_s=WHOLE) is False
    with pytest.raises(IllegalTransition):
        services.cancel_re_encryption(principal=admin, job_id=job.id)
    with pytest.raises(NotFound):
        services.cancel_re_encryption(principal=admin, job_id=uuid7())
    assert opened(shelf, "0000") == b"0000"
    assert opened(shelf, "0249") == b"0249"


def test_what_cannot_be_opened_is_named_and_does_not_stop_the_rest(org, shelf, rotated, admin):
    shelf.objects["0007"] = shelf.objects["0008"]
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    services.step(job.id, org.id, limit_s=WHOLE)
    job.refresh_from_db()
    assert (job.state, job.rewritten) == (State.DONE, 249)
    assert job.problems == [{"collection": "test.shelf", "object": "0007", "code": "sealed-altered"}]


def test_one_purpose_only(org, shelf, rotated, admin):
    other = Shelf(org, name="test.other", purpose="test.other")
    rewriting.register(other)
    assert [c.name for c in rewriting.collections()] == ["test.other", "test.shelf"]
    job = services.re_encrypt(principal=admin, tenant_id=org.id, purpose="test.other")
    assert job.total == 0
    assert services.step(job.id, org.id, limit_s=WHOLE) is False
    assert shelf.visited == []
    with pytest.raises(ValueError, match="twice"):
        rewriting.register(Shelf(org))


def test_a_step_ends_when_its_time_is_up(org, shelf, rotated, admin):
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    assert services.step(job.id, org.id, limit_s=0)
    job.refresh_from_db()
    assert (job.seen, job.percent) == (1, 0)


def test_columns_are_bound_to_their_row_and_found_by_the_walk(org, other_org, shelf, admin):
    rows = [
        IdentityProvider(tenant=org, name=f"p{i}", issuer=f"https://{i}.example", client_id="c")
        for i in range(3)
    ]
    for row in rows:
        row.sealed_secret = base64.b64encode(
            columns.sealed_text(row, "sealed_secret", f"secret of {row.name}", purpose=PURPOSE)
        ).decode()
        row.save()
    collection = rewriting.ColumnCollection(
        "test.columns", IdentityProvider, "sealed_secret", purpose=PURPOSE
    )
    rewriting.register(collection)
    services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=PURPOSE)
    job = services.re_encrypt(principal=admin, tenant_id=org.id)
    services.step(job.id, org.id, limit_s=WHOLE)
    job.refresh_from_db()
    assert (job.seen, job.rewritten, job.problems) == (3, 3, [])
    stored = IdentityProvider.objects.get(pk=rows[1].pk)
    stored.sealed_secret = base64.b64decode(stored.sealed_secret)
    assert columns.opened_text(stored, "sealed_secret", purpose=PURPOSE) == "secret of p1"
    rows[0].sealed_secret = stored.sealed_secret
    with pytest.raises(Altered):
        columns.opened_text(rows[0], "sealed_secret", purpose=PURPOSE)
    assert collection.rewrite(org.id, str(uuid7())) is False


def test_json_and_rows_without_a_tenant(org, platform, member, shelf):
    person = member(org, Role.DEVELOPER)
    person.first_name = columns.sealed_json(person, "first_name", {"seed": [1, 2]}, purpose="identity.factor")
    assert columns.opened_json(person, "first_name", purpose="identity.factor") == {"seed": [1, 2]}
    with pytest.raises(ValueError, match="primary key"):
        columns.object_id_of(type(person)(id=None), "first_name")


def test_client_secrets_of_identity_providers_are_among_what_is_written_anew(org, admin):
    from governance.identity.services import providers

    provider = IdentityProvider(tenant=org, name="corp", issuer="https://corp.example", client_id="c")
    with tenant_context(org.id):
        provider.sealed_secret = before = providers._sealed(provider, "client secret")
        provider.save()
        services.rotate_data_key(principal=admin, tenant_id=org.id, purpose=providers.PURPOSE)
        job = services.re_encrypt(principal=admin, tenant_id=org.id, purpose=providers.PURPOSE)
        services.step(job.id, org.id, limit_s=WHOLE)
        provider.refresh_from_db()
        assert provider.sealed_secret != before
        assert providers.secret_of(provider) == "client secret"


def test_secrets_of_second_factors_are_among_what_is_written_anew(platform, member, principal_for):
    from allauth.mfa.models import Authenticator

    from governance.identity import mfa

    person = member(platform, Role.PLATFORM_ADMIN)
    adapter = mfa.Adapter()
    admin = principal_for(platform, Role.PLATFORM_ADMIN)
    with mfa.owned_by(person.pk), tenant_context(platform.id):
        totp = Authenticator.objects.create(
            user=person, type="totp", data={"secret": adapter.encrypt("the secret"), "digits": 6}
        )
        codes = Authenticator.objects.create(
            user=person,
            type="recovery_codes",
            data={
                "seed": adapter.encrypt("the seed"),
                "used_mask": 0,
                "migrated_codes": [adapter.encrypt("1")],
            },
        )
        Authenticator.objects.create(user=person, type="webauthn", data={"credential": {}, "name": "key"})
        before = totp.data["secret"]
        active = services.rotate_data_key(principal=admin, tenant_id=platform.id, purpose=mfa.PURPOSE)
        job = services.re_encrypt(principal=admin, tenant_id=platform.id, purpose=mfa.PURPOSE)
        services.step(job.id, platform.id, limit_s=WHOLE)
        for row in (job, totp, codes):
            row.refresh_from_db()
        assert (job.state, job.total, job.rewritten, job.problems) == (State.DONE, 2, 2, [])
        assert totp.data["secret"] != before
        sealed = base64.b64decode(totp.data["secret"].split(".")[2])
        assert envelopes.data_key_of(sealed) == active.id
        opened = [codes.data["seed"], codes.data["migrated_codes"][0], totp.data["secret"]]
        assert [adapter.decrypt(text) for text in opened] == ["the seed", "1", "the secret"]
        assert (totp.data["digits"], codes.data["used_mask"]) == (6, 0)
        Authenticator.objects.filter(pk=totp.pk).update(data={"secret": "in plain"})
        again = services.re_encrypt(principal=admin, tenant_id=platform.id, purpose=mfa.PURPOSE)
        services.step(again.id, platform.id, limit_s=WHOLE)
        again.refresh_from_db()
        assert [problem["code"] for problem in again.problems] == ["not-sealed"]
