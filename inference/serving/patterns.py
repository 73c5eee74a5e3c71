"""The runtime of versions that are sets of verified patterns: forms and check digits, where a network would guess.

An artifact is a JSON document of regular expressions with the names of checks. Expressions can be made to run for
ever, so only the platform itself may register such a version (`registry.version.register_patterns`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference.serving.artifacts import ArtifactFile, read_artifact
from inference.serving.datatypes import Tensor, Tensors
from inference.serving.pattern_checks import CHECKS
from inference.serving.runtime import LoadError, PredictError
from inference.serving.signature import Signature

FORMAT = "openclaw-patterns-1"
MOST_BYTES = 256 * 1024
MEMORY_BYTES = 1024 * 1024
TAKES, GIVES = {"text": "BYTES"}, {"entities": "BYTES", "masked": "BYTES", "count": "INT64"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of thing. The group `it` is what is found; the rest is its surroundings."""

    kind: str
    expression: re.Pattern[str]
    check: Callable[[str], bool] | None


@dataclass(frozen=True, slots=True)
class Entity:
    """What was found where, in characters. Of two that overlap the earlier kind of the artifact stays."""

    kind: str
    start: int
    end: int
    verified: bool

    def as_json(self) -> dict[str, Any]:
        """For the answer; what it said stays out of logs, so the text itself is not repeated."""
        return {"kind": self.kind, "start": self.start, "end": self.end, "verified": self.verified}


class PatternRuntime:
    """Text [rows] → `entities` (JSON), `masked` (the text with each replaced by its kind), `count`, per row."""

    memory_bytes = MEMORY_BYTES
    computes_here = True
    lanes = 1

    def __init__(self, patterns: tuple[Pattern, ...], most_characters: int) -> None:
        self._patterns = patterns
        self._most_characters = most_characters

    @classmethod
    def load(cls, path: ArtifactFile, *, sha256: str, signature: Signature) -> PatternRuntime:
        """Load what has exactly this digest. Raises LoadError."""
        for declared, wanted in ((signature.inputs, TAKES), (signature.outputs, GIVES)):
            found = {name: spec.datatype for name, spec in declared.items()}
            if found != wanted or any(spec.shape != (-1,) for spec in declared.values()):
                raise LoadError(f"a version of patterns has the tensors {wanted}, declared are {found}")
        try:
            document = json.loads(read_artifact(path, sha256=sha256, most_bytes=MOST_BYTES))
            if document["format"] != FORMAT:
                raise LoadError(f"the artifact's format is not {FORMAT}")
            return cls(tuple(_pattern(entry) for entry in document["patterns"]), document["most_characters"])
        except (ValueError, KeyError, TypeError, re.error) as error:
            raise LoadError(f"the artifact is no set of patterns: {error}") from error

    def predict(self, inputs: Tensors) -> Tensors:
        texts = [_decoded(value) for value in inputs["text"]]
        found = [self.find(text) for text in texts]
        return {
            "entities": _strings(json.dumps([entity.as_json() for entity in row]) for row in found),
            "masked": _strings(_masked(text, row) for text, row in zip(texts, found, strict=True)),
            "count": np.array([len(row) for row in found], dtype=np.int64),
        }

    def find(self, text: str) -> list[Entity]:
        """Everything in the text, in its order; raises PredictError on one that is too long to be read whole.

        A part of it unread would be a part of it unmasked.
        """
        if len(text) > self._most_characters:
            raise PredictError(
                f"the model takes texts of up to {self._most_characters:,} characters", invalid_input=True
            )
        taken: list[Entity] = []
        for pattern in self._patterns:
            for match in pattern.expression.finditer(text):
                start, end = match.span("it")
                if pattern.check is not None and not pattern.check(text[start:end]):
                    continue
                if all(end <= other.start or start >= other.end for other in taken):
                    taken.append(Entity(pattern.kind, start, end, pattern.check is not None))
        return sorted(taken, key=lambda entity: entity.start)

    def rows_are_independent(self) -> bool:
        return True

    def ready(self) -> bool:
        return True

    def close(self) -> None:
        self._patterns = ()


def _pattern(entry: Mapping[str, Any]) -> Pattern:
    check = entry.get("check", "")
    return Pattern(entry["kind"], re.compile(entry["expression"]), CHECKS[check] if check else None)


def _decoded(value: bytes | str) -> str:
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError as error:
        raise PredictError("the model takes UTF-8 text", invalid_input=True) from error


def _masked(text: str, found: list[Entity]) -> str:
    parts, at = [], 0
    for entity in found:
        parts += [text[at : entity.start], f"[{entity.kind}]"]
        at = entity.end
    return "".join([*parts, text[at:]])


def _strings(values: Iterator[str]) -> Tensor:
    rows = list(values)
    found = np.empty(len(rows), dtype=object)
    found[:] = [row.encode() for row in rows]
    return found
