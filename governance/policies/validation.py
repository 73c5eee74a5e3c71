"""What an administrator's policies must be beyond good Cedar: named, ours left alone, and of some effect."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.translation import gettext as _

from governance.access.cedar.engine import Policy, PolicyBook, PolicyError, parse
from governance.access.cedar.schema import Problem, validate
from governance.access.cedar.text import Statement, statements
from governance.errors import InvalidInput

RESERVED = "openclaw."
NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,98}[a-z0-9])?")
OBLIGATION = re.compile(r"[a-z][a-z0-9-]*(:[^\s].{0,199})?")


def problems_of(text: str) -> list[Problem]:
    """Everything that keeps the text from being proposed, by line; empty when it is good. Safe for hostile text."""
    if "\x00" in text:
        return [Problem(1, 1, _("The text holds a zero byte."), _("Save it as plain text."))]
    if found := validate(text):
        return found
    problems: list[Problem] = []
    seen: set[str] = set()
    for part, policy in _parsed(text):
        if isinstance(policy, PolicyError):
            help_ = _('Write @id("a-name") before the policy.') if "@id" in str(policy) else ""
            problems.append(_at(part, str(policy), help_))
            continue
        problems += [_at(part, message, help_, policy.id) for message, help_ in _faults(policy, seen)]
        seen.add(policy.id)
    return problems


def book_of(text: str) -> PolicyBook:
    """The policies of a text. Raises InvalidInput with every problem, its line and what to do."""
    if problems := problems_of(text):
        raise InvalidInput(
            _("The policies cannot be used as they are: %(first)s") % {"first": problems[0]},
            code="invalid-policies",
            hint=problems[0].help,
            errors=[as_error(problem) for problem in problems],
        )
    return PolicyBook.parse(text)


def as_error(problem: Problem) -> dict[str, str | int]:
    """A problem as the API's problem details show it."""
    return {
        "line": problem.line,
        "column": problem.column,
        "policy": problem.policy,
        "detail": f"{problem} {problem.help}".strip(),
        "message": problem.message,
        "help": problem.help,
    }


def _parsed(text: str) -> Iterator[tuple[Statement, Policy | PolicyError]]:
    """Every policy, or what the engine has against it. At once where it has nothing, which is much faster."""
    parts = statements(text)
    try:
        yield from zip(parts, parse(text), strict=True)
    except PolicyError:
        for part in parts:
            try:
                yield part, parse(part.text(text))[0]
            except PolicyError as error:
                yield part, error


def _faults(policy: Policy, seen: set[str]) -> list[tuple[str, str]]:
    found = []
    if policy.id.startswith(RESERVED):
        found.append(
            (
                _("Names that begin with “%(prefix)s” are the product's own.") % {"prefix": RESERVED},
                _("Choose another @id."),
            )
        )
    elif not NAME.fullmatch(policy.id):
        found.append(
            (
                _("“%(name)s” cannot be the @id of a policy.") % {"name": policy.id[:60]},
                _("Use lower-case letters, digits, dots and hyphens; at most 100."),
            )
        )
    if policy.id in seen:
        found.append((_("Two policies have the same @id."), _("Give each its own name.")))
    if policy.effect == "permit" and not policy.obligation:
        found.append(
            (
                _("This permit changes nothing: roles and grants say who may, and policies narrow it."),
                _("Write a forbid, or tie a duty to the permit with @obligation."),
            )
        )
    if policy.effect == "forbid" and policy.obligation:
        found.append(
            (
                _("A refusal has no duty tied to it."),
                _("Write the @obligation on a permit."),
            )
        )
    if policy.effect == "permit" and policy.step_up:
        found.append((_("A permit asks for no further proof."), _("Write the @step_up on a forbid.")))
    if policy.obligation and not OBLIGATION.fullmatch(policy.obligation):
        found.append(
            (
                _("“%(name)s” is not a duty.") % {"name": policy.obligation[:60]},
                _("Write name or name:argument, for example person-confirms."),
            )
        )
    if policy.step_up and not 1 <= policy.step_up.level <= 3:
        found.append((_("Levels of assurance go from 1 to 3."), _('For example @step_up("2 900").')))
    return found


def _at(part: Statement, message: str, help_: str, policy: str = "") -> Problem:
    token = part.tokens[0]
    return Problem(token.line, token.column, message, help_, policy)
