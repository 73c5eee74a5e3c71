"""The duties that a person fulfils by looking at an answer. Plain values: the hot route reads them without Django."""

from __future__ import annotations

from collections.abc import Iterable

PERSON_CONFIRMS = "person-confirms"
REFER_BELOW = "refer-below"
WITHHOLD_BELOW = "withhold-below"
_BELOW = (f"{REFER_BELOW}:", f"{WITHHOLD_BELOW}:")
# Where what was withheld is fetched.
ADDRESS = "/api/v1/oversight-answers/{task}/"


def fulfilled_by_confirming(obligations: Iterable[str]) -> frozenset[str]:
    """Those of a decision's duties that are done once a person has looked at the answer."""
    return frozenset(duty for duty in obligations if duty == PERSON_CONFIRMS or duty.startswith(_BELOW))


def limits_of(obligations: Iterable[str]) -> list[tuple[float, str]]:
    """Every `refer-below:LIMIT:OUTPUT` and `withhold-below:…`: the limit and the output's name ("" for none)."""
    return _limits(obligations, _BELOW)


def withholding_limits_of(obligations: Iterable[str]) -> list[tuple[float, str]]:
    """Those below which an answer is not given until a person has confirmed it."""
    return _limits(obligations, _BELOW[1:])


def withholds(obligations: Iterable[str]) -> bool:
    """Whether an answer may have to wait for a person, which only a single answer can."""
    return any(duty == PERSON_CONFIRMS or duty.startswith(_BELOW[1:]) for duty in obligations)


def _limits(obligations: Iterable[str], names: tuple[str, ...]) -> list[tuple[float, str]]:
    found = []
    for duty in obligations:
        if duty.startswith(names):
            _name, limit, *output = duty.split(":", 2)
            found.append((float(limit), output[0] if output else ""))
    return found
