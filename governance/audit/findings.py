"""What verification may find in a chain, and how it is said to a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _


class Kind(StrEnum):
    """The kinds of damage."""

    CHANGED = "changed"
    REMOVED = "removed"
    INSERTED = "inserted"
    REORDERED = "reordered"
    HEAD = "head"
    SIGNATURE = "signature"


TEXTS = {
    "changed": _("entry %(entry)d was changed after it was written"),
    "replaced": _("entry %(entry)d was changed with its hash: entry %(next)d followed another one"),
    "gap": _("entries %(entry)d to %(until)d are missing"),
    "one-missing": _("entry %(entry)d is missing"),
    "cut-off": _("entries %(entry)d to %(until)d were removed from the end: they were signed on %(at)s"),
    "twice": _("there is a second entry with the number %(entry)d"),
    "put-between": _("entry %(entry)d was put between its neighbours"),
    "moved": _("entry %(entry)d was written as number %(written)d"),
    "still-there": _("entry %(entry)d stands before the place where retention cut the chain"),
    "head": _("the chain ends at entry %(entry)d, but its head says %(head)d"),
    "head-hash": _("the head's hash is not that of entry %(entry)d"),
    "rewritten": _(
        "entries %(entry)d to %(until)d were rewritten: entry %(until)d is not the one that was signed on %(at)s"
    ),
    "forged-head": _("the signature of the head at entry %(entry)d, of %(at)s, is not valid"),
    "forged-cut": _("the signature of the cut at entry %(entry)d, of %(at)s, is not valid"),
    "cut-chain": _("the cut at entry %(entry)d does not follow the cut before it"),
    "kept-head": _(
        "entries %(entry)d to %(until)d were rewritten: entry %(until)d is not the one in the kept heads"
    ),
    "kept-head-gone": _(
        "entries %(entry)d to %(until)d were removed from the end: they are in the kept heads"
    ),
    "kept-head-forged": _("the kept head at entry %(entry)d has no valid signature"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One place where a chain does not hold. `entry` is the number of the (first) entry concerned."""

    kind: Kind
    entry: int
    code: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return str(TEXTS[self.code]) % {"entry": self.entry, **self.facts}

    def as_json(self) -> dict[str, Any]:
        """How a result keeps it; `from_json` reads it, in the reader's language."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Problem:
        """The problem that `as_json` wrote."""
        return cls(Kind(value["kind"]), value["entry"], value["code"], value["facts"])


# More than this is one big damage, which needs no longer list.
MOST_PROBLEMS = 100


@dataclass(slots=True)
class ChainReport:
    """What verification found in one tenant's chain. `entries` were read, from `cut_through` + 1 on.

    `signed_through` is the newest entry that a valid signature covers: what comes after it could have been removed or
    rewritten without leaving a trace here. `clock_set_back` are the entries where the machine's clock went back.
    """

    tenant_id: UUID
    slug: str
    entries: int = 0
    cut_through: int = 0
    signed_through: int = 0
    clock_set_back: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, kind: Kind, entry: int, code: str, **facts: Any) -> None:
        """Note a problem; beyond the first hundred they are only counted."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(kind, entry, code, facts))
        else:
            self.more_problems += 1
