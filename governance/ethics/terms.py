"""The conditions of an approval: chosen by the officer, said in words, and judged at every use.

Five kinds, each at most once: only these purposes, at most this share of the traffic, a person confirms above an
amount, only in these regions, until a date. A condition that cannot be judged, because a fact is missing, is not met.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.utils.translation import gettext as _

from governance.access.conditions import Finding
from governance.errors import InvalidInput

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MAX_NAME = 64
MAX_NAMES = 20
MAX_AMOUNT = 10**15
KINDS = ("purposes_only", "traffic_share_at_most", "person_confirms_above", "region_only", "until")
PERSON_CONFIRMS = "person-confirms"


@dataclass(frozen=True, slots=True)
class Terms:
    """Conditions as values; None where there is none of the kind. `share` is in percent, `amount` a whole number."""

    purposes: frozenset[str] | None = None
    share: int | None = None
    amount: int | None = None
    regions: frozenset[str] | None = None
    until: date | None = None

    def as_json(self) -> list[dict[str, Any]]:
        """The list that an approval keeps."""
        values = {
            "purposes_only": sorted(self.purposes) if self.purposes is not None else None,
            "traffic_share_at_most": self.share,
            "person_confirms_above": self.amount,
            "region_only": sorted(self.regions) if self.regions is not None else None,
            "until": self.until.isoformat() if self.until else None,
        }
        return [{"kind": kind, "value": value} for kind, value in values.items() if value is not None]

    @property
    def ends_at(self) -> datetime | None:
        """The end of the last day (UTC), where there is one."""
        return datetime.combine(self.until + timedelta(days=1), time(), UTC) if self.until else None

    def sentences(self) -> list[str]:
        """Each condition in the reader's language."""
        found = []
        if self.purposes is not None:
            found.append(
                _("Only for these purposes: %(names)s.") % {"names": ", ".join(sorted(self.purposes))}
            )
        if self.share is not None:
            found.append(_("At most %(share)d percent of an endpoint's traffic.") % {"share": self.share})
        if self.amount is not None:
            found.append(_("A person confirms every case above %(amount)d.") % {"amount": self.amount})
        if self.regions is not None:
            found.append(_("Only in these regions: %(names)s.") % {"names": ", ".join(sorted(self.regions))})
        if self.until is not None:
            found.append(_("Until the end of %(date)s.") % {"date": self.until.isoformat()})
        return found

    def on_use(
        self, context: Mapping[str, Any], *, region: str = "", needed: bool = True
    ) -> Iterable[Finding]:
        """What the conditions say about one use: refusals, and the duty that a person confirms.

        `needed` is off where nothing is used yet or any more, as in a menu or at a job's checkpoint: then purpose and
        amount are judged only if they are known.
        """
        if self.purposes is not None:
            yield from self._about_purpose(context.get("purpose"), needed=needed)
        if self.regions is not None:
            yield from self._about_region(str(context.get("pool_region") or region))
        if self.amount is not None and (needed or "amount" in context):
            yield from self._about_amount(context.get("amount"))

    def on_release(self, context: Mapping[str, Any]) -> Iterable[Finding]:
        """What they say about giving it traffic."""
        share = context.get("traffic_share")
        if self.share is not None and isinstance(share, int) and share > self.share:
            yield Finding(
                "ethics.traffic-share",
                _("The ethics approval allows at most %(most)d percent of the traffic, not %(share)d.")
                % {"most": self.share, "share": share},
                help=_("Choose a smaller share, or ask the ethics office for another approval."),
            )
        if self.purposes is not None:
            yield from self._about_purpose(context.get("purpose"), needed=False)

    def _about_purpose(self, purpose: Any, *, needed: bool) -> Iterable[Finding]:
        assert self.purposes is not None
        names = ", ".join(sorted(self.purposes))
        if not purpose:
            if needed:
                yield Finding(
                    "ethics.purpose",
                    _("The ethics approval is for named purposes only, and the request names none."),
                    help=_("Send the header X-OpenClaw-Purpose with one of: %(names)s.") % {"names": names},
                )
        elif purpose not in self.purposes:
            yield Finding(
                "ethics.purpose",
                _("The ethics approval does not cover the purpose “%(purpose)s”.")
                % {"purpose": str(purpose)[:MAX_NAME]},
                help=_("It covers: %(names)s.") % {"names": names},
            )

    def _about_region(self, region: str) -> Iterable[Finding]:
        assert self.regions is not None
        if region in self.regions:
            return
        reason = (
            _("The ethics approval does not cover the region “%(region)s”.") % {"region": region}
            if region
            else _("The ethics approval is for named regions only, and the region is not known.")
        )
        yield Finding(
            "ethics.region",
            reason,
            help=_("It covers: %(names)s.") % {"names": ", ".join(sorted(self.regions))},
        )

    def _about_amount(self, amount: Any) -> Iterable[Finding]:
        assert self.amount is not None
        if not isinstance(amount, int):
            yield Finding(
                "ethics.amount",
                _(
                    "The ethics approval asks a person to confirm above an amount, and the request names none."
                ),
                help=_("Send the amount at stake in the header X-OpenClaw-Amount, a whole number."),
            )
        elif amount > self.amount:
            yield Finding("ethics.person-confirms", allow=True, obligation=PERSON_CONFIRMS)


def parse_terms(conditions: Sequence[Any], *, today: date | None = None) -> Terms:
    """Read a list of `{"kind", "value"}`. Raises InvalidInput that names every fault.

    With `today`, a date that is over is a fault as well; stored conditions are read without it.
    """
    values: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for index, entry in enumerate(conditions):
        try:
            kind, value = _read(entry, today)
            if kind in values:
                raise ValueError(_("This kind of condition is there twice."))
            values[kind] = value
        except ValueError as error:
            errors.append({"pointer": f"/conditions/{index}", "detail": str(error)})
    if errors:
        raise InvalidInput(
            _("A condition cannot be accepted: %(why)s") % {"why": errors[0]["detail"]},
            code="conditions-invalid",
            errors=errors,
        )
    return Terms(
        purposes=values.get("purposes_only"),
        share=values.get("traffic_share_at_most"),
        amount=values.get("person_confirms_above"),
        regions=values.get("region_only"),
        until=values.get("until"),
    )


def _read(entry: Any, today: date | None) -> tuple[str, Any]:
    if not isinstance(entry, dict) or set(entry) != {"kind", "value"} or entry["kind"] not in KINDS:
        raise ValueError(
            _('A condition is {"kind", "value"} with one of the kinds %(kinds)s.')
            % {"kinds": ", ".join(KINDS)}
        )
    kind, value = entry["kind"], entry["value"]
    if kind in ("purposes_only", "region_only"):
        return kind, _names(value)
    if kind == "traffic_share_at_most":
        return kind, _whole(value, 1, 100)
    if kind == "person_confirms_above":
        return kind, _whole(value, 0, MAX_AMOUNT)
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(_("Give a date as YYYY-MM-DD.")) from None
    if today is not None and day < today:
        raise ValueError(_("The date is over."))
    return kind, day


def _names(value: Any) -> frozenset[str]:
    good = isinstance(value, list) and 1 <= len(value) <= MAX_NAMES
    if good and all(isinstance(v, str) and len(v) <= MAX_NAME and NAME.fullmatch(v) for v in value):
        return frozenset(value)
    raise ValueError(_("Name 1 to %(most)d of lower-case letters, digits and hyphens.") % {"most": MAX_NAMES})


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise ValueError(_("Give a whole number from %(low)d to %(high)d.") % {"low": low, "high": high})
