"""The whole Cedar schema, and holding policies against it: what is wrong, on which line, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

import cedarpy
from django.utils.translation import gettext as _

from governance.access.cedar.engine import SCHEMA
from governance.access.cedar.text import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_OPERATORS,
    MAX_POLICIES,
    Statement,
    Token,
    depth_problem,
    statements,
)
from governance.access.rules import GROUPS, registered_actions

END = "unexpected end of input"
SHOWN = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a text. `line` and `column` count from 1; `policy` is the @id if there is one."""

    line: int
    column: int
    message: str
    help: str = ""
    policy: str = ""

    def __str__(self) -> str:
        return f"{_('line')} {self.line}: {self.message}"


def schema_text(names: Collection[str] | None = None) -> str:
    """The written schema with every group and the registered actions (of these `names` only), in Cedar's language."""
    lines = [SCHEMA.read_text(encoding="utf-8"), f"action {_names(sorted(GROUPS))};"]
    who = "principal: [User, Client, System], resource: [Resource], context: Moment"
    for name, rule in sorted(registered_actions().items()):
        if names is not None and name not in names:
            continue
        groups = sorted(rule.names - {name})
        parents = f" in [{_names(groups)}]" if groups else ""
        lines.append(f"action {json.dumps(name)}{parents} appliesTo {{ {who} }};")
    return "\n".join(lines) + "\n"


def _schema_for(parts: list[Statement]) -> str:
    """A schema that finds the same mistakes in these policies as the whole one, many times faster.

    Cedar checks a policy once per action that it may be about. All actions apply to the same types, so one action for
    each set of groups stands for the others, beside those that the text names.
    """
    named = {token.text[1:-1] for part in parts for token in part.tokens if token.text.startswith('"')}
    alike = {frozenset(rule.names - {name}): name for name, rule in registered_actions().items()}
    return schema_text(named | set(alike.values()))


def validate(text: str) -> list[Problem]:
    """What keeps the text from being good Cedar that fits the schema, in the order of its lines; empty when nothing.

    Safe for hostile text: size, nesting and length of expressions are checked before Cedar sees it.
    """
    if (size := len(text.encode("utf-8", "replace"))) > MAX_BYTES:
        return [
            Problem(
                1,
                1,
                _("The text has %(size)d bytes; at most %(limit)d are accepted.")
                % {"size": size, "limit": MAX_BYTES},
                _("Name several actions in one policy, or a group of actions, instead of repeating it."),
            )
        ]
    parts = statements(text)
    if len(parts) > MAX_POLICIES:
        return [
            Problem(
                parts[MAX_POLICIES].line,
                1,
                _("These are %(count)d policies; at most %(limit)d are accepted.")
                % {"count": len(parts), "limit": MAX_POLICIES},
                _("Name several actions in one policy, or a group of actions, instead of repeating it."),
            )
        ]
    broken = [problem for part in parts if (problem := _too_much(part)) is not None]
    if not broken and _syntax(text):
        broken = [problem for part in parts if (problem := _unreadable(text, part)) is not None]
    return broken[:SHOWN] if broken else _against_schema(text, parts)[:SHOWN]


def _too_much(part: Statement) -> Problem | None:
    for token in part.tokens:
        if not token.closed:
            message, help_ = _("This text in quotes has no end."), _('Close it with ".')
            return Problem(token.line, token.column, message, help_)
    if found := depth_problem(part):
        token, what = found
        return Problem(
            token.line,
            token.column,
            _("This policy is nested too deeply: at most %(limit)d brackets.") % {"limit": MAX_DEPTH}
            if what == "brackets"
            else _("This policy is too long: at most %(limit)d operators.") % {"limit": MAX_OPERATORS},
            _("Compare with a list, as in [a, b].contains(…), or write several policies."),
        )
    return None


def _unreadable(text: str, part: Statement) -> Problem | None:
    message = _syntax(part.text(text))
    if not message:
        return None
    token = _where(text, part, message)
    return Problem(token.line, token.column, message, _how(message), _name(part))


def _syntax(text: str) -> str:
    """Cedar's message about text that has passed the limits; empty when it parses and can be kept."""
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
        if parsed["templates"]:
            return _("slots like ?principal are not supported")
        cedarpy.policies_from_json_str(json.dumps(parsed))
    except (ValueError, RecursionError) as error:
        message = str(error)
        return _("one expression chains too many operators") if "JSON" in message else message
    return ""


def _where(text: str, part: Statement, message: str) -> Token:
    """The first token that Cedar stumbles over: every text before it is merely unfinished."""
    low, high = 1, len(part.tokens)
    while low < high:
        middle = (low + high) // 2
        if (problem := _syntax(part.text(text, middle))) and problem != END:
            high = middle
        else:
            low = middle + 1
    token = part.tokens[low - 1]
    return part.place_of(re.findall(r"`([^`]+)`", message)) if token.text == ";" else token


def _how(message: str) -> str:
    if message == END:
        return _("End every policy with a semicolon, and close every bracket.")
    if "unexpected token" in message or "invalid token" in message:
        return _("A policy looks like this: %(example)s") % {
            "example": 'forbid (principal, action in Action::"administer", resource) when { … };'
        }
    if "annotation" in message:
        return _("Give each annotation once.")
    if "operators" in message:
        return _("Compare with a list, as in [a, b].contains(…), or write several policies.")
    return ""


def _against_schema(text: str, parts: list[Statement]) -> list[Problem]:
    # Without the interpreter's lock, for it may take a second.
    result = cedarpy.validate_policies(text, _schema_for(parts), release_gil=True)
    found: dict[tuple[int, str], Problem] = {}
    homeless: set[int] = set()
    for error in result.errors:
        index = int(str(error.policy_id).removeprefix("policy") or 0)
        part = parts[min(index, len(parts) - 1)]
        message, help_, words = _explain(str(error.error))
        if "applicable action" in message:
            homeless.add(index)
            continue
        token = part.place_of(words)
        found[index, message] = Problem(token.line, token.column, message, help_, _name(part))
    for index in homeless - {index for index, _message in found}:
        token = parts[index].place_of(["action"])
        found[index, ""] = Problem(
            token.line,
            token.column,
            _("No action fits what this policy's first line says."),
            _('Groups of actions are written with “in”: action in Action::"administer".'),
            _name(parts[index]),
        )
    return sorted(found.values(), key=lambda problem: (problem.line, problem.column))


def _explain(error: str) -> tuple[str, str, list[str]]:
    """A validation error in fewer words, with what to do and the words of the policy that it is about."""
    message = re.sub(r"^for policy `[^`]*`, ", "", error)
    named = re.findall(r"`([^`]+)`", message)
    if match := re.match(r'unrecognized action `Action::"(.*)"`', message):
        return (
            _("There is no action or group “%(name)s”.") % {"name": match[1]},
            _close(match[1], [*registered_actions(), *GROUPS]),
            [match[1]],
        )
    if match := re.match(r"unrecognized entity type `(.*)`", message):
        types = ["User", "Client", "System", "Resource"]
        return (
            _("There is no kind of thing “%(name)s”.") % {"name": match[1]},
            _close(match[1], types),
            [match[1]],
        )
    if match := re.match(r"attribute `(.*?)`.* not found", message):
        names = re.findall(r"(\w+)\??:", SCHEMA.read_text(encoding="utf-8"))
        return (
            _("Nothing is known under the name “%(name)s”.") % {"name": match[1]},
            _close(match[1].rpartition(".")[2], sorted(set(names))),
            [match[1], match[1].rpartition(".")[2]],
        )
    if match := re.search(r"optional attribute `(.*?)` (?:on entity type|in) ", message):
        owner = "resource" if "Resource" in message else "context"
        name = match[1].rpartition(".")[2]
        return (
            _("“%(name)s” is not always known.") % {"name": name},
            _("Ask first: %(example)s") % {"example": f"{owner} has {name} && …"},
            [name],
        )
    return message, "", named


def _close(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    return (
        _("Did you mean: %(names)s?") % {"names": ", ".join(near)}
        if near
        else _("Known: %(names)s.") % {"names": ", ".join(known[:20])}
    )


def _name(part: Statement) -> str:
    words = [token.text for token in part.tokens[:40]]
    for index in range(len(words) - 3):
        if words[index : index + 3] == ["@", "id", "("]:
            return words[index + 3].strip('"')
    return ""


def _names(names: list[str]) -> str:
    return ", ".join(json.dumps(name) for name in names)
