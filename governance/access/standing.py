"""Whether somebody who was let in still is: for what stays open after its request, such as sockets and downloads.

A standing is asked again when an announcement concerns it, before its next message in any case, and by age: every
`hub.max_age_s`, and when its token or its decision ends. In between it costs two comparisons.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.db import Error as DatabaseError
from django.db import close_old_connections, transaction
from django.http import HttpRequest

from governance.access.credentials import presented_by
from governance.access.decisions import require_obligations
from governance.access.hub import EVERYTHING, Hub, hub
from governance.access.middleware import find_principal
from governance.access.models import Application
from governance.access.principals import principal_for_user, verified_token
from governance.access.services import record_refusal
from governance.decision import Decision
from governance.errors import AccessDenied, DomainError
from governance.principals import PLATFORM_ROLES, Principal, Role
from governance.tenants.context import RowScope, platform_scope, row_scope
from governance.tenants.models import Membership, User

log = logging.getLogger(__name__)

# Why it ends, as WebSocket close codes.
STANDS = 0
STEP_UP = 4401
REFUSED = 4403
TRY_LATER = 1013

# Topics that may concern anybody, because policies and conditions may speak of anything.
FOR_ALL = frozenset({EVERYTHING, "policy", "stop", "asset", "plugin", "endpoint"})
DIGEST_PART = 40
OF_USERS = frozenset({"membership", "grant", "user"})

# Few threads: a change that concerns everybody must not take every connection to the database away from requests.
_askers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="standing")

Admit = Callable[[Principal], Decision]
SessionEnd = Callable[[SessionBase], float]


def _never(_session: SessionBase) -> float:
    return float("inf")


_session_end: SessionEnd = _never


def register_session_end(end: SessionEnd) -> None:
    """Ask `end` until when a session may be used (seconds since the epoch; 0: not any more)."""
    global _session_end
    _session_end = end


def session_end(session: SessionBase) -> float:
    """Until when a session may be used as it is now: rested or lasted too long, it opens nothing more."""
    return _session_end(session)


@dataclass(frozen=True, slots=True)
class Credential:
    """What somebody came with: a session's key or an access token, and the request that brought it."""

    request: HttpRequest
    session_key: str = ""
    token: str = ""

    @property
    def topic(self) -> str:
        """Topic of the announcement that ends it."""
        return "token" if self.token else "session"

    @property
    def digest(self) -> str:
        """What it is called in announcements."""
        return sha256((self.token or self.session_key).encode()).hexdigest()


def credential_of(request: HttpRequest) -> Credential | None:
    """The credential of a request; None for one without any."""
    if (presented := presented_by(request)) is not None:
        return Credential(request, token=presented.token)
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
    return Credential(request, session_key=key) if key else None


def with_session(request: HttpRequest, key: str) -> HttpRequest:
    """A copy of the request with the session as it is now, and its person."""
    anew = copy.copy(request)
    anew.session = import_module(settings.SESSION_ENGINE).SessionStore(key or None)
    anew.user = get_user(anew)
    return anew


def principal_now(
    principal: Principal, credential: Credential | None = None
) -> tuple[Principal | None, float]:
    """The principal as it is now, and until when that holds by itself (seconds since the epoch).

    It ends with the access token, the session, or the first role that was given for a while. None when the credential
    ended, the account was disabled, the tenant suspended, or the last role taken away.
    """
    if principal.kind in ("system", "anonymous"):
        return principal, float("inf")
    until = float("inf")
    found: Principal | None
    if credential is not None and credential.token:
        # The proof by the token's key was given once, when it was opened.
        known = verified_token(credential.token)
        found, until = (known.principal, known.expires.timestamp()) if known else (None, 0.0)
    elif credential is not None:
        anew = with_session(credential.request, credential.session_key)
        until = session_end(anew.session)
        found = find_principal(anew) if until > time.time() else None
    elif principal.kind == "client":
        found = _client_now(principal)
    else:
        found = _person_now(principal)
    if found is None or (found.kind, found.id, found.tenant_id) != (
        principal.kind,
        principal.id,
        principal.tenant_id,
    ):
        return None, 0.0
    return found, min(until, found.until)


def _person_now(principal: Principal) -> Principal | None:
    user = User.objects.filter(pk=principal.id).first()
    if user is None:
        return None
    found = principal_for_user(user, tenant_id=principal.tenant_id, signals=principal.signals)
    if not found.is_authenticated:
        return None
    scopes = principal.scopes
    if scopes is not None and principal.application_id is not None:
        with platform_scope(), transaction.atomic():
            rows = Application.objects.select_related("tenant", "service_user")
            application = rows.filter(pk=principal.application_id, tenant_id=principal.tenant_id).first()
        usable = application is not None and application.is_usable(None)
        scopes = scopes.intersection(application.allowed_scopes if application and usable else ())
    return replace(found, scopes=scopes, application_id=principal.application_id)


def _client_now(principal: Principal) -> Principal | None:
    with platform_scope(), transaction.atomic():
        rows = Application.objects.select_related("tenant", "service_user")
        application = rows.filter(pk=principal.id, tenant_id=principal.tenant_id).first()
        if application is None or not application.is_usable(None):
            return None
        lasting = Membership.objects.filter(
            user_id=application.service_user_id, tenant_id=application.tenant_id, expires_at=None
        )
        roles = frozenset(Role(name) for name in lasting.values_list("role", flat=True))
    if not roles:
        return None
    allowed = frozenset(application.allowed_scopes)
    return replace(
        principal,
        roles=roles,
        scopes=allowed if principal.scopes is None else allowed & principal.scopes,
        user_id=application.service_user_id,
        accountable_user_id=application.user_id or application.service_user_id,
        platform=not roles.isdisjoint(PLATFORM_ROLES),
    )


class Standing:
    """One open connection's right to go on.

    `admit` asks the decision point about what the connection shows, in the principal's row scope and a transaction; a
    yes with a duty is a no here, for nobody could fulfil it. `on_doubt` is called in the hub's thread when the answer
    should be asked for again soon.
    """

    def __init__(
        self,
        principal: Principal,
        credential: Credential | None,
        admit: Admit,
        *,
        on_doubt: Callable[[], None] = lambda: None,
        source: Hub = hub,
    ) -> None:
        self.principal = principal
        self._credential = credential
        self._admit = admit
        self._on_doubt = on_doubt
        self._hub = source
        self._doubts, self._settled = 1, 0
        self._asked_at, self._until = 0.0, 0.0
        self._end = source.subscribe(self._heard)

    def close(self) -> None:
        """Hear no more."""
        self._end()

    @property
    def rest_s(self) -> float:
        """For how many seconds the last answer may be believed from now on; 0 when it must be asked for again."""
        if self._settled != self._doubts:
            return 0.0
        age_s = self._hub.max_age_s - (time.monotonic() - self._asked_at)
        return max(0.0, min(age_s, self._until - time.time()))

    def ask(self) -> int:
        """Ask again now: STANDS, or the code to close with. Blocks for the database."""
        close_old_connections()
        try:
            doubts, asked_at = self._doubts, time.monotonic()
            code, until = self._judge()
            if code == STANDS:
                self._settled, self._asked_at, self._until = doubts, asked_at, until
            return code
        except DatabaseError:
            log.exception("whether a connection may go on cannot be asked")
            return TRY_LATER
        finally:
            close_old_connections()

    async def check(self) -> int:
        """STANDS if nothing speaks against going on, asking again where it must."""
        while self.rest_s <= 0:
            if code := await asyncio.get_running_loop().run_in_executor(_askers, self.ask):
                return code
        return STANDS

    async def while_it_stands(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces of a download until the right to it is taken away; what is sent then is visibly incomplete."""
        try:
            async for piece in pieces:
                if code := await self.check():
                    log.warning("a download was ended in the middle (%d): %s", code, self.principal.label)
                    return
                yield piece
        finally:
            self.close()

    def concerns(self, topic: str, key: str) -> bool:
        """Whether an announcement may change the answer."""
        if topic in FOR_ALL:
            return True
        if topic in OF_USERS:
            return key in (str(self.principal.user_id), str(self.principal.accountable_user_id))
        if topic == "tenant":
            return key == str(self.principal.tenant_id)
        if topic == "application":
            return self.principal.scopes is not None
        if self._credential is None or topic != self._credential.topic:
            return False
        # A session's row keeps the beginning of its digest, and may be all that is told of it.
        return key[:DIGEST_PART] == self._credential.digest[:DIGEST_PART]

    def _heard(self, topic: str, key: str) -> None:
        if self.concerns(topic, key):
            self._doubts += 1
            self._on_doubt()

    def _judge(self) -> tuple[int, float]:
        found, until = principal_now(self.principal, self._credential)
        if found is None:
            return REFUSED, 0.0
        self.principal = found
        scope = RowScope(tenant_id=found.tenant_id, platform=found.platform)
        try:
            with row_scope(scope), transaction.atomic():
                decision = self._admit(found)
            if decision.allow:
                require_obligations(decision, fulfilled=frozenset())
                return STANDS, min(until, decision.valid_until)
            refused = AccessDenied("", decision=decision)
        except AccessDenied as denied:
            refused = denied
        except DomainError:
            return REFUSED, 0.0
        if found.is_authenticated:
            record_refusal(refused)
        return (STEP_UP if refused.decision.step_up is not None else REFUSED), 0.0


def standing_of(request: HttpRequest, admit: Admit) -> Standing:
    """The standing of a request's principal, for an answer that is sent piece by piece."""
    principal: Any = request.principal  # type: ignore[attr-defined]
    return Standing(copy.copy(principal), credential_of(request), admit)
