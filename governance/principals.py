"""Who is asking: one immutable value that every service takes and every decision is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal
from uuid import UUID


class Role(StrEnum):
    """Roles of a membership. The first group belongs to the platform tenant and acts across tenants."""

    PLATFORM_ADMIN = "platform_admin"
    REVIEWER = "reviewer"
    ETHICS_OFFICER = "ethics_officer"
    AUDITOR = "auditor"

    TENANT_ADMIN = "tenant_admin"
    DEVELOPER = "developer"
    DATA_SCIENTIST = "data_scientist"
    PARTNER = "partner"
    SERVICE = "service"

    SYSTEM = "system"


PLATFORM_ROLES = frozenset(
    {Role.PLATFORM_ADMIN, Role.REVIEWER, Role.ETHICS_OFFICER, Role.AUDITOR, Role.SYSTEM}
)

Kind = Literal["user", "client", "system", "anonymous"]


class Factor(StrEnum):
    """How the identity was last proven, from the weakest to the strongest."""

    NONE = "none"
    PASSWORD = "password"
    SECRET = "secret"
    FEDERATED = "federated"  # the company's identity provider, which named no second factor
    OTP = "otp"  # a second factor that can be phished: TOTP, a recovery code, or "mfa" said by the provider
    PASSKEY = "passkey"  # phishing-resistant: WebAuthn, or a key the token is bound to


class Device(StrEnum):
    """What is known about the device in use."""

    UNKNOWN = "unknown"
    COMPLIANT = "compliant"
    NOT_COMPLIANT = "not_compliant"


@dataclass(frozen=True, slots=True)
class Signals:
    """What makes us more or less sure of who asks. Times are seconds since the epoch; 0 means never."""

    factor: Factor = Factor.NONE
    factor_at: float = 0.0
    bound: bool = False
    network_changed_at: float = 0.0
    client_changed_at: float = 0.0
    failed_attempts: int = 0
    unusual_rate: bool = False
    device: Device = Device.UNKNOWN


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated actor in one tenant.

    `scopes` is None where nothing limits the roles (a person's own session), else the OAuth 2.0 scopes of the token.
    `user_id` is the account that grants hang on (a service account for a client). `accountable_user_id` is the person
    behind it, whom separation of duties is about: a client cannot be used to approve one's own work. `signals` are
    judged anew at every decision (`governance.access.assurance`). `until` (seconds since the epoch) is when the first
    of its roles ends by itself, as an elevated one does. `application_id` is the application whose token it came with.
    """

    kind: Kind
    id: str
    label: str
    tenant_id: UUID | None = None
    roles: frozenset[Role] = field(default_factory=frozenset)
    scopes: frozenset[str] | None = None
    user_id: UUID | None = None
    accountable_user_id: UUID | None = None
    platform: bool = False
    signals: Signals = Signals()
    until: float = float("inf")
    application_id: UUID | None = None

    @property
    def is_authenticated(self) -> bool:
        return self.kind != "anonymous"

    def has_role(self, *roles: Role) -> bool:
        """True when the principal has at least one of the roles."""
        return not self.roles.isdisjoint(roles)


ANONYMOUS = Principal(kind="anonymous", id="", label="anonymous")
SYSTEM = Principal(
    kind="system", id="system", label="OpenClaw", roles=frozenset({Role.SYSTEM}), platform=True
)
