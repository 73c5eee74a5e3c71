"""What a session remembers about itself: since when, last used when, how long it may rest, and what it still owes."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.http import HttpRequest

from governance.access.network import request_address
from governance.identity.selectors import Rules

KEY = "openclaw_care"
# How often use is written down: a session may end so much early, and costs at most one write in that time.
TOUCH_S = 60
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("Firefox", "Firefox"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)

Session = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class Care:
    """Times are seconds since the epoch. `setup` holds until a second factor that somebody demands was set up."""

    id: str
    began: float
    seen: float
    idle_s: int
    session_s: int
    setup: bool = False

    @property
    def session_id(self) -> UUID:
        """The id of the `UserSession`."""
        return UUID(self.id)

    @property
    def ends_at(self) -> float:
        """When the session ends if it is not used any more."""
        return min(self.seen + self.idle_s, self.began + self.session_s)

    def over(self, now: float | None = None) -> bool:
        """Whether the session has rested or lasted too long."""
        return (time.time() if now is None else now) >= self.ends_at

    def due(self, now: float | None = None) -> bool:
        """Whether its use should be written down again."""
        return (time.time() if now is None else now) >= self.seen + min(TOUCH_S, self.idle_s / 10)


def read(session: Session) -> Care | None:
    """What the session remembers; None for one that is nobody's."""
    kept = session.get(KEY)
    return Care(**kept) if isinstance(kept, dict) else None


def write(session: Session, care: Care) -> None:
    """Remember it."""
    session[KEY] = asdict(care)


def begun(session_id: UUID, rules: Rules, *, now: float, setup: bool) -> Care:
    """The care of a session that begins now."""
    return Care(str(session_id), now, now, rules.idle_s, rules.session_s, setup)


def usable(session: Session) -> bool:
    """Whether a session may be used now: not over, and owing nothing. For faces that no middleware stands before."""
    return usable_until(session) > time.time()


def usable_until(session: Session) -> float:
    """When the session ends if it is not used any more (seconds since the epoch); 0 while it owes something."""
    care = read(session)
    if care is None:
        return float("inf")
    return 0.0 if care.setup else care.ends_at


@dataclass(frozen=True, slots=True)
class Place:
    """Where a browser is and which one, as far as its owner needs to recognise it."""

    network: str = ""
    program: str = ""


def place_of(request: HttpRequest) -> Place:
    """The network (/24 of IPv4, /48 of IPv6) and the browser's name: enough to recognise, not to follow."""
    try:
        found = ipaddress.ip_address(request_address(request))
    except ValueError:
        network = ""
    else:
        prefix = 24 if found.version == 4 else 48
        network = str(ipaddress.ip_network(f"{found}/{prefix}", strict=False))
    return Place(network, program_of(request.headers.get("User-Agent", "")))


def program_of(user_agent: str) -> str:
    """“Firefox, Linux”; the first word where the program names itself otherwise."""
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    browser = next((name for mark, name in BROWSERS if f"{mark}/" in user_agent), "")
    if not browser:
        browser = (re.findall(r"[A-Za-z][\w.+-]*", user_agent[:200]) or [""])[0][:60]
    return ", ".join(part for part in (browser, system) if part)
