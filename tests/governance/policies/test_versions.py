"""What is in force changes by two people only, and never so that nobody could change it again."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from governance.access.decisions import decide
from governance.audit.models import AuditEntry
from governance.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound, TooLarge
from governance.policies import selectors, services
from governance.policies.models import PolicyVersion
from governance.principals import Role
from governance.tenants.context import platform_scope
from tests.factories.policies import NO_BATCH, acting, enact_policies, propose_policies

pytestmark = [pytest.mark.django_db(transaction=True)]

State = PolicyVersion.State
OTHER = NO_BATCH.replace("no-batch", "no-invoke").replace("serving.batch.create", "serving.batch.cancel")


def test_a_policy_binds_once_a_second_person_has_activated_it(author, second):
    version = propose_policies(author)
    assert decide(author, "serving.batch.create").allow
    with acting(second):
        services.activate(principal=second, version_id=version.id, reason="agreed")
    refused = decide(author, "serving.batch.create")
    assert not refused.allow
    assert refused.rules == ("no-batch",)
    assert refused.reasons == ("Batch jobs wait until the bank has decided about them.",)
    assert refused.helps == ("Ask the data office.",)
    with acting(second):
        entry = AuditEntry.objects.get(action="policies.version.activate")
        assert entry.target_digest == version.digest
        assert entry.reason == "agreed"


def test_nobody_activates_their_own(author):
    version = propose_policies(author)
    with acting(author), pytest.raises(AccessDenied) as refused:
        services.activate(principal=author, version_id=version.id)
    assert refused.value.decision.rules == ("openclaw.nobody-approves-own-request",)
    with acting(author):
        assert selectors.version(version.id).state == State.PROPOSED


def test_the_database_refuses_it_as_well(author):
    version = propose_policies(author)
    for change in (
        {"state": State.ACTIVE, "activated_by_id": author.accountable_user_id},
        {"state": State.ACTIVE},
    ):
        with pytest.raises(IntegrityError), acting(author):
            PolicyVersion.objects.filter(pk=version.pk).update(**change)


def test_the_database_keeps_a_proposed_text_and_one_active_version(author, second):
    enact_policies(author, second)
    other = propose_policies(author, OTHER)
    with pytest.raises(DatabaseError, match="never change"), acting(author):
        PolicyVersion.objects.filter(pk=other.pk).update(text="")
    with pytest.raises(IntegrityError), acting(author):
        PolicyVersion.objects.filter(pk=other.pk).update(
            state=State.ACTIVE, activated_by_id=second.accountable_user_id
        )


def test_a_new_version_replaces_the_old_and_an_old_one_comes_back_by_two_people(author, second):
    first = enact_policies(author, second)
    enact_policies(author, second, OTHER)
    assert decide(author, "serving.batch.create").allow
    assert not decide(author, "serving.batch.cancel").allow
    with acting(second):
        assert selectors.version(first.id).state == State.RETIRED
        again = services.roll_back(principal=second, version_id=first.id, reason="too strict")
        assert (again.state, again.number, again.digest) == (State.PROPOSED, 3, first.digest)
    assert decide(author, "serving.batch.create").allow
    with acting(author):
        services.activate(principal=author, version_id=again.id)
    assert not decide(author, "serving.batch.create").allow


def test_only_what_was_in_force_comes_back(author):
    version = propose_policies(author)
    with acting(author), pytest.raises(Conflict, match="in force before"):
        services.roll_back(principal=author, version_id=version.id, reason="")


def test_a_proposal_is_outdated_when_other_policies_came_into_force(author, second):
    version = propose_policies(author)
    enact_policies(author, second, OTHER)
    with acting(second), pytest.raises(Conflict) as refused:
        services.activate(principal=second, version_id=version.id)
    assert refused.value.code == "outdated-proposal"


def test_a_withdrawn_version_is_gone_for_good(author, second):
    version = propose_policies(author)
    with acting(second):
        services.withdraw(principal=second, version_id=version.id, reason="not now")
    with acting(second), pytest.raises(IllegalTransition):
        services.activate(principal=second, version_id=version.id)


def test_a_draft_is_its_authors(author, second):
    with acting(author):
        draft = services.save_draft(principal=author, text="not yet Cedar")
    for change in (
        lambda: services.save_draft(principal=second, version_id=draft.id, text=NO_BATCH),
        lambda: services.propose(principal=second, version_id=draft.id),
    ):
        with acting(second), pytest.raises(Conflict, match="belongs to its author"):
            change()
    with acting(author), pytest.raises(InvalidInput) as refused:
        services.propose(principal=author, version_id=draft.id)
    assert refused.value.errors[0]["line"] == 1
    with acting(author):
        services.save_draft(principal=author, version_id=draft.id, text=NO_BATCH)
        services.propose(principal=author, version_id=draft.id)
    with acting(author), pytest.raises(Conflict, match="Only a draft"):
        services.save_draft(principal=author, version_id=draft.id, text="")


LOCKS_OUT = [
    'forbid (principal, action in Action::"administer", resource);',
    'forbid (principal, action in Action::"approve", resource);',
    "forbid (principal, action, resource);",
    'forbid (principal, action == Action::"policies.version.activate", resource) when { principal.assurance > 0 };',
    'forbid (principal, action in Action::"approve", resource) when { context has requested_by };',
    'forbid (principal, action == Action::"policies.version.propose", resource) unless { principal.platform };',
]


@pytest.mark.parametrize("policy", LOCKS_OUT)
def test_a_policy_that_locks_everybody_out_is_not_proposed(author, policy):
    with acting(author):
        draft = services.save_draft(principal=author, text=f'@id("a") {policy}')
    with acting(author), pytest.raises(InvalidInput) as refused:
        services.propose(principal=author, version_id=draft.id)
    assert refused.value.code == "locks-everybody-out"
    with acting(author):
        assert selectors.version(draft.id).state == State.DRAFT


def test_two_named_administrators_are_enough_and_so_are_office_hours(author, second):
    names = f'["{author.accountable_user_id}", "{second.accountable_user_id}"]'
    for number, condition in enumerate(
        (
            f"{names}.contains(principal.account)",
            "context.weekday == 3 && context.hour > 7",
            "principal.assurance > 2",
        )
    ):
        propose_policies(
            author,
            f'@id("a{number}") forbid (principal, action in [Action::"administer", Action::"approve"], resource) '
            f"unless {{ {condition} }};",
        )
    alone = f'"{author.accountable_user_id}" == principal.account'
    with pytest.raises(InvalidInput, match="nobody could change"):
        propose_policies(
            author,
            f'@id("b") forbid (principal, action in [Action::"administer", Action::"approve"], resource) '
            f"unless {{ {alone} }};",
        )


def test_the_platforms_policies_bind_every_tenant(platform, author, principal_for):
    first, other = principal_for(platform, Role.PLATFORM_ADMIN), principal_for(platform, Role.PLATFORM_ADMIN)
    enact_policies(first, other)
    assert decide(author, "serving.batch.create").rules == ("no-batch",)
    with acting(author):
        assert "no-batch" in selectors.platform_text()
        assert not PolicyVersion.objects.exists()


def test_one_tenants_policies_are_nothing_to_another(author, second, other_org, principal_for):
    version = enact_policies(author, second)
    neighbour = principal_for(other_org, Role.TENANT_ADMIN)
    assert decide(neighbour, "serving.batch.create").allow
    for change in (services.propose, services.activate, services.withdraw):
        with acting(neighbour), pytest.raises(NotFound):
            change(principal=neighbour, version_id=version.id)
    with acting(neighbour), pytest.raises(AccessDenied):
        services.save_draft(principal=neighbour, text=NO_BATCH, tenant_id=author.tenant_id)


@pytest.mark.parametrize("role", [Role.DEVELOPER, Role.DATA_SCIENTIST])
def test_others_change_nothing(org, author, principal_for, role):
    person, version = principal_for(org, role), propose_policies(author)
    with acting(person), pytest.raises(AccessDenied):
        services.save_draft(principal=person, text=NO_BATCH)
    for change in (services.propose, services.activate, services.withdraw):
        with acting(person), pytest.raises(AccessDenied):
            change(principal=person, version_id=version.id)


def test_hostile_texts_are_refused_before_they_are_kept(author):
    with acting(author), pytest.raises(TooLarge):
        services.save_draft(principal=author, text="x" * 1_000_000)
    for text in ("a\x00b", "\ud800"):
        with acting(author), pytest.raises(InvalidInput):
            services.save_draft(principal=author, text=text)
    with platform_scope(), transaction.atomic():
        assert not PolicyVersion.objects.exists()
