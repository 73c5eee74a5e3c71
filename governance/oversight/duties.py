"""The duties that a person fulfils by looking at an answer. Plain values: the hot route reads them without Django."""

from __future__ import annotations

from collections.abc import Iterable

PERSON_CONFIRMS = "person-confirms"
REFER_BELOW = "refer-below"
# Where what was withheld is fetched.
ADDRESS = "/api/v1/oversight-answers/{task}/"


def fulfilled_by_confirming(obligations: Iterable[str]) -> frozenset[str]:
    """Those of a decision's duties that are done once a person has looked at the answer."""
    return frozenset(
        duty for duty in obligations if duty == PERSON_CONFIRMS or duty.startswith(f"{REFER_BELOW}:")
    )


def limits_of(obligations: Iterable[str]) -> list[tuple[float, str]]:
    """Every `refer-below:LIMIT:OUTPUT`, as the limit and the output's name ("" where it names none)."""
    found = []
    for duty in obligations:
        if duty.startswith(f"{REFER_BELOW}:"):
            _name, limit, *output = duty.split(":", 2)
            found.append((float(limit), output[0] if output else ""))
    return found
