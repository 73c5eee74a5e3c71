"""A furnished house: some of everything, so that lists have rows. Rows that a page only shows are written directly."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils import timezone

from governance.access.principals import principal_for_user
from governance.ids import uuid7
from governance.principals import Role
from governance.tenants.context import platform_scope, tenant_context
from governance.tenants.models import Membership, Tenant, User
from tests.factories.governance import make_application, make_member, make_tenant, proven
from tests.factories.inference import make_endpoint, make_version, training_profile
from tests.factories.marketplace import package, upload
from tests.factories.skills import make_skill

ROLES: dict[str, tuple[Role, ...]] = {
    "platform": (Role.PLATFORM_ADMIN, Role.REVIEWER, Role.ETHICS_OFFICER, Role.AUDITOR),
    "organisation": (Role.TENANT_ADMIN, Role.DEVELOPER, Role.DATA_SCIENTIST),
    "partner": (Role.PARTNER,),
}


class House:
    """Three tenants with a person of every role; `furnish` adds some of everything."""

    def __init__(self) -> None:
        self.tenants = {
            kind: make_tenant(slug, kind=kind)
            for kind, slug in (("platform", "platform"), ("organisation", "bank"), ("partner", "acme"))
        }
        self.people: dict[str, User] = {
            role.value: make_member(self.tenants[kind], role)
            for kind, roles in ROLES.items()
            for role in roles
        }
        self.pieces = 0

    def principal(self, role: Role) -> Any:
        """The person of a role."""
        return principal_for_user(self.people[role.value], signals=proven())

    def furnish(self, pieces: int) -> None:
        """So many more of everything that a list can show."""
        for _piece in range(pieces):
            self.pieces += 1
            self._serving(self.pieces)
            self._marketplace(self.pieces)
            self._governance(self.pieces)
            self._ethics(self.pieces)

    def _serving(self, number: int) -> None:
        from inference.registry.models import TrainingReference
        from inference.rollouts.models import InputCount, OutcomeRecord
        from inference.serving.models import BatchJob

        admin, tenant = self.principal(Role.TENANT_ADMIN), self.tenants["organisation"]
        version = make_version(admin, model=f"model-{number}")
        endpoint = make_endpoint(admin, version, name=f"endpoint-{number}")
        make_skill(admin, name=f"skill-{number}")
        with tenant_context(tenant.id), transaction.atomic():
            job = BatchJob.objects.create(
                tenant=tenant, endpoint=endpoint, model_version=version, filename="rows.csv", format="csv",
                input_sha256="0" * 64, input_bytes=10, created_by_kind="user",
                created_by_id=str(self.people[Role.TENANT_ADMIN].id), created_by_label="somebody",
            )  # fmt: skip
            OutcomeRecord.objects.create(
                id=uuid7(), tenant_id=tenant.id, endpoint_id=endpoint.id, model_version_id=version.id,
                at=timezone.now(), status=200, rows=1, latency_us=900, bytes_in=10,
            )  # fmt: skip
            reference = TrainingReference.objects.create(
                tenant=tenant, model_version=version, state="ready", job_id=job.id, sent_at=timezone.now(),
                revision=uuid7(), profile=training_profile(), row_count=400, source_label=f"rows-{number}.csv",
            )  # fmt: skip
            InputCount.objects.create(
                tenant=tenant, model_version=version, revision=reference.revision, at=timezone.now(), writer=uuid7(),
                rows=10, counts={f"x[{place}]": [1] * 11 for place in range(3)},
            )  # fmt: skip

    def _marketplace(self, number: int) -> None:
        from marketplace.catalog.models import Partner, PartnerApplication, Plugin, PluginVersion
        from marketplace.installs.models import Installation

        tenant = self.tenants["partner"]
        name = f"plugin-{number}"
        submission = upload(self.principal(Role.PARTNER), package(name=name))
        with platform_scope(), transaction.atomic():
            partner, _made = Partner.objects.get_or_create(
                tenant=tenant, defaults={"display_name": "Acme", "slug": "acme", "listed": True}
            )
            plugin = Plugin.objects.create(
                tenant=tenant, partner=partner, slug=f"listed-{number}", listed=True
            )
            version = PluginVersion.objects.create(
                tenant=tenant, plugin=plugin, version="1.0.0", state="published", sha256="0" * 64, size_bytes=9,
                manifest={"description": name}, risk_level="low", purpose="document-digitisation",
                submission_id=submission.id, archive_path="none", published_at=timezone.now(),
            )  # fmt: skip
            applicant = self._person(f"applicant-{number}")
            PartnerApplication.objects.create(
                tenant=self.tenants["platform"], applicant=applicant, name=name, slug=f"applicant-{number}"
            )
            Installation.objects.create(
                tenant=self.tenants["organisation"], plugin=plugin, version=version, active_version=version,
                state="active", requested_by=self.people[Role.TENANT_ADMIN],
            )  # fmt: skip

    def _governance(self, number: int) -> None:
        for kind in ("platform", "organisation", "partner"):
            make_application(self.tenants[kind], scopes=["models:read"], owner=None)
        with platform_scope(), transaction.atomic():
            Tenant.objects.create(slug=f"tenant-{number}", name=f"Tenant {number}", kind="organisation")
            for tenant, roles in zip(self.tenants.values(), ROLES.values(), strict=True):
                person = self._person(f"{tenant.slug}-{number}")
                Membership.objects.create(user=person, tenant=tenant, role=roles[0])

    def _ethics(self, number: int) -> None:
        from governance.ethics.models import Approval, Binding, Evidence, Incident

        digest = f"{number:064x}"
        with platform_scope(), transaction.atomic():
            partner, tenant = self.tenants["partner"], self.tenants["organisation"]
            approval = Approval.objects.create(
                tenant=partner, subject_type="tests.subject", subject_id=str(number), subject_digest=digest,
                subject_label=f"subject {number}", purpose="justice", questionnaire_version="ai-act-2",
                requested_by=self.people[Role.PARTNER],
            )  # fmt: skip
            Evidence.objects.create(
                tenant=partner, approval=approval, kind="model_card", digest=digest, document="# Card",
                summary={"sections": ["Card"]}, supplied_by=self.people[Role.PARTNER],
            )  # fmt: skip
            Binding.objects.create(
                tenant=tenant, subject_type="tests.subject", subject_id=str(number), subject_digest=digest,
                object_type="tests.object", object_id=str(number), object_label=f"object {number}",
            )  # fmt: skip
            Incident.objects.create(
                tenant=tenant, subject_type="tests.object", subject_id=str(number), title=f"incident {number}",
                description="Nothing grave.", severity="low", occurred_at=timezone.now(),
                aware_at=timezone.now(), opened_by=self.people[Role.TENANT_ADMIN],
            )  # fmt: skip

    def _person(self, username: str) -> User:
        return User.objects.create(username=username, password=make_password(None))
