"""How confidential something is and whom it is about, as an order: what is derived is never less than its sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _

from governance.errors import InvalidInput

# From the least to the most confidential.
LABELS = ("public", "internal", "confidential", "restricted")
SUBJECTS = ("health", "payment", "personal")
DEFAULT = "internal"
RANK = {label: rank for rank, label in enumerate(LABELS)}

# What a plugin's manifest may say of the data it works on, as subjects of the catalogue.
_DECLARED = {"personal": "personal", "biometric": "personal", "health": "health", "financial": "payment"}


def most_confidential(labels: Iterable[str]) -> str:
    """The highest of the labels; of none, the lowest there is."""
    return max(labels, key=RANK.__getitem__, default=LABELS[0])


def union(*subjects: Iterable[str]) -> list[str]:
    """Everything that any of them names, in a fixed order."""
    return sorted({name for some in subjects for name in some})


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds something back: its label, whom it is about, where it must stay, and the only use it may be put to.

    An empty region is anywhere, an empty purpose any.
    """

    label: str = LABELS[0]
    subjects: tuple[str, ...] = ()
    region: str = ""
    purpose: str = ""

    def weaker_than(self, other: Limits) -> bool:
        """Whether these are in any way less restricted than the others; another region or purpose is weaker too."""
        return (
            RANK[self.label] < RANK[other.label]
            or not set(other.subjects) <= set(self.subjects)
            or (bool(other.region) and self.region != other.region)
            or (bool(other.purpose) and self.purpose != other.purpose)
        )

    def joined(self, other: Limits) -> Limits:
        """Both together. Where the two name different regions or purposes nothing satisfies both: see `clash`."""
        return Limits(
            most_confidential([self.label, other.label]),
            tuple(union(self.subjects, other.subjects)),
            self.region or other.region,
            self.purpose or other.purpose,
        )

    def clash(self, other: Limits) -> str:
        """`region` or `purpose` where both name one and not the same; empty when the two can hold together."""
        for name in ("region", "purpose"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine and theirs and mine != theirs:
                return name
        return ""

    def as_details(self) -> dict[str, Any]:
        """For the audit log."""
        return {**asdict(self), "subjects": list(self.subjects)}


def checked(label: str, subjects: Iterable[str]) -> tuple[str, list[str]]:
    """The pair as it is kept. Raises InvalidInput for a word that the catalogue does not know."""
    if label not in RANK:
        raise InvalidInput(
            _("“%(label)s” is no label.") % {"label": label},
            hint=_("Choose one of: %(labels)s.") % {"labels": ", ".join(LABELS)},
        )
    wanted = union(subjects)
    if unknown := sorted(set(wanted) - set(SUBJECTS)):
        raise InvalidInput(
            _("“%(subject)s” is no subject of data.") % {"subject": ", ".join(unknown)},
            hint=_("Choose from: %(subjects)s.") % {"subjects": ", ".join(SUBJECTS)},
        )
    return label, wanted


def declared(words: Iterable[str]) -> tuple[str, list[str]]:
    """Label and subjects from the data labels of a plugin's manifest.

    Without a stated label, data about people or payments counts as confidential, anything else as internal.
    """
    said = set(words)
    subjects = union(*([_DECLARED[word]] for word in said if word in _DECLARED))
    stated = said & set(LABELS)
    if stated:
        return most_confidential(stated), subjects
    return ("confidential" if subjects else DEFAULT), subjects
