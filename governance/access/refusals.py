"""Keeping refused tokens in the audit log, where their owner is known, and seldom enough that nobody can fill it."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from django.db import transaction

from governance.access.challenges import TokenRefused
from governance.audit.models import AuditEntry
from governance.audit.services import record
from governance.tenants.context import platform_scope

ACTION = "access.token.use"
# One entry per owner and kind of refusal in so many seconds and process; the ones between are counted in the next.
EVERY_S = 60.0
MAX_KNOWN = 10_000


class _Seldom:
    """Lets through one event per key and period, with how many were held back before it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def passes(self, key: tuple[str, str]) -> int | None:
        now = time.monotonic()
        with self._lock:
            last, held = self._known.get(key, (-EVERY_S, 0))
            if now - last < EVERY_S:
                self._known[key] = last, held + 1
                return None
            self._known[key] = now, 0
            self._known.move_to_end(key)
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
            return held

    def forget(self) -> None:
        with self._lock:
            self._known.clear()


seldom = _Seldom()


def note_token_refusal(refused: TokenRefused) -> None:
    """Keep the refusal, in a transaction of its own. A nonce that is only missing is no attack and not kept."""
    principal = refused.principal
    if principal is None or refused.code == "use_dpop_nonce" or refused.status >= 500:
        return
    held = seldom.passes((principal.id, refused.message))
    if held is None:
        return
    with platform_scope(), transaction.atomic():
        record(
            principal=principal,
            action=ACTION,
            tenant_id=principal.tenant_id,
            decision=AuditEntry.Decision.DENY,
            reason=refused.message,
            details={"error": refused.code, "scheme": refused.scheme}
            | ({"more_before": held} if held else {}),
        )
