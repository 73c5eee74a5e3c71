"""A version's training reference: how its inputs and predictions were distributed, feature by feature.

Which features a version has follows from its declared inputs alone. A narrow row is told element by element; of a wide
one (a picture, a text as token numbers) only mean and standard deviation are. A text is told by its most frequent
values where a few values make up most of it, else by its length in characters.

Half the rows fix the bins and the other half is counted in them: so no counted value had a say in its bins, which the
test of `drift.shape_evidence` needs, and no value is kept but edges between many and categories that many rows share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import prod
from typing import Any, Self

import numpy as np

from inference.rollouts.analysis.drift import Reference

# Wider rows than this are told by mean and standard deviation.
MAX_ELEMENTS = 32
MAX_FEATURES = 64
MIN_ROWS = 200
BINS = 10
CONFIDENCE_BINS = 8
MAX_CATEGORIES = 12
# A value that fewer rows share might say whose row it is.
SHARED_BY = 10
CATEGORY_LENGTH = 64
COVERED = 0.5

Rows = np.ndarray[Any, Any]


class Take(StrEnum):
    """What of a row is counted."""

    ELEMENT = "element"
    MEAN = "mean"
    DEVIATION = "deviation"
    CATEGORY = "category"
    LENGTH = "length"


class Unusable(ValueError):
    """These rows make no reference; the message is for the person who sent them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One feature: what is taken of which input. `place` is the element's, in the flattened row."""

    name: str
    input: str
    take: Take
    place: int = 0

    def of(self, rows: Rows) -> np.ndarray | list[str]:
        """The feature of every row; `rows` is the input's tensor with one row a line (`flat`)."""
        if self.take == Take.ELEMENT:
            return rows[:, self.place].astype(np.float64)
        if self.take == Take.MEAN:
            return rows.mean(axis=1, dtype=np.float64)
        if self.take == Take.DEVIATION:
            return rows.std(axis=1, dtype=np.float64)
        texts = [as_text(value) for value in rows[:, 0]]
        return texts if self.take == Take.CATEGORY else np.array([len(text) for text in texts], dtype=float)


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature and its reference."""

    taken: Taken
    reference: Reference

    @property
    def name(self) -> str:
        return self.taken.name

    @property
    def input(self) -> str:
        return self.taken.input

    def count(self, rows: Rows) -> list[int]:
        """The counts by bin, and last how many values were no finite numbers."""
        values = self.taken.of(rows)
        if isinstance(values, list):
            return [*self.reference.count(values), 0]
        finite = values[np.isfinite(values)]
        return [*self.reference.count(finite), len(values) - len(finite)]


@dataclass(frozen=True, slots=True)
class Profile:
    """The reference of a version: of its inputs, and of its predictions where it says classes."""

    features: tuple[Feature, ...]
    predictions: Reference | None = None
    confidence: Reference | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "features": [
                {
                    "name": feature.taken.name,
                    "input": feature.taken.input,
                    "take": feature.taken.take.value,
                    "place": feature.taken.place,
                    "reference": feature.reference.to_json(),
                }
                for feature in self.features
            ],
            "predictions": self.predictions.to_json() if self.predictions else None,
            "confidence": self.confidence.to_json() if self.confidence else None,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The profile as it was stored."""
        return cls(
            tuple(
                Feature(
                    Taken(one["name"], one["input"], Take(one["take"]), one["place"]),
                    Reference.from_json(one["reference"]),
                )
                for one in stored["features"]
            ),
            *(
                Reference.from_json(stored[name]) if stored.get(name) else None
                for name in ("predictions", "confidence")
            ),
        )


class Gathering:
    """What becomes a profile: the features of rows that come in pieces. It grows with the rows that are added."""

    def __init__(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        self._taken = features_of(inputs)
        self._values: dict[str, list[Any]] = {taken.name: [] for taken in self._taken}
        self._classes: list[str] = []
        self._confidences: list[float] = []
        self.rows = 0

    def add(self, tensors: Mapping[str, Rows], said: Iterable[tuple[str, float | None]]) -> None:
        """Some rows' inputs, and for each what class its answer said with which confidence."""
        shaped: dict[str, Rows] = {}
        for taken in self._taken:
            if taken.input not in shaped:
                shaped[taken.input] = flat(tensors[taken.input])
            self._values[taken.name].extend(taken.of(shaped[taken.input]))
        for name, confidence in said:
            if name:
                self._classes.append(name)
            if confidence is not None:
                self._confidences.append(confidence)
            self.rows += 1

    def profile(self) -> Profile:
        """The reference of everything that was added. Raises Unusable with what is wrong."""
        if self.rows < MIN_ROWS:
            raise Unusable(f"A reference needs at least {MIN_ROWS} rows; there are {self.rows}.")
        features = tuple(self._feature(taken) for taken in self._taken)
        return Profile(
            features,
            categories_of(self._classes) if len(self._classes) >= MIN_ROWS else None,
            numbers_of(np.array(self._confidences), bins=CONFIDENCE_BINS)
            if len(self._confidences) >= MIN_ROWS
            else None,
        )

    def _feature(self, taken: Taken) -> Feature:
        values = self._values[taken.name]
        if taken.take != Take.CATEGORY:
            numbers = np.array(values, dtype=float)
            if not np.isfinite(numbers).all():
                raise Unusable(f"“{taken.name}” has values that are no finite numbers.")
            return Feature(taken, numbers_of(numbers, bins=BINS))
        if (reference := categories_of(values)) is not None:
            return Feature(taken, reference)
        lengths = np.array([len(value) for value in values], dtype=float)
        length = Taken(f"{taken.name}.length", taken.input, Take.LENGTH)
        return Feature(length, numbers_of(lengths, bins=BINS))


def features_of(inputs: Sequence[Mapping[str, Any]]) -> tuple[Taken, ...]:
    """The features of declared inputs (`{"name", "datatype", "shape"}`), at most `MAX_FEATURES` of them.

    An input of several texts a row has none.
    """
    found: list[Taken] = []
    for declared in inputs:
        name, shape = declared["name"], list(declared["shape"])
        row = shape[1:] if len(shape) > 1 else []
        known = -1 not in row
        if declared["datatype"] == "BYTES":
            if known and prod(row) == 1:
                found.append(Taken(name, name, Take.CATEGORY))
        elif known and prod(row) == 1:
            found.append(Taken(name, name, Take.ELEMENT))
        elif known and prod(row) <= MAX_ELEMENTS:
            found += [Taken(f"{name}[{place}]", name, Take.ELEMENT, place) for place in range(prod(row))]
        else:
            found += [Taken(f"{name}.mean", name, Take.MEAN), Taken(f"{name}.std", name, Take.DEVIATION)]
    return tuple(found[:MAX_FEATURES])


def flat(tensor: Rows) -> Rows:
    """A tensor with one row a line."""
    return tensor.reshape(len(tensor), -1)


def numbers_of(values: np.ndarray, *, bins: int) -> Reference:
    """Quantile bins of one half of the values, which count the other. What nearly all are has a bin of its own."""
    fixing, counted = _halves(len(values))
    edges = Reference.of_numbers(values[fixing], bins=bins).edges
    if not edges:
        only = float(values[fixing].max())
        edges = (float(np.nextafter(only, -np.inf)), only)
    empty = Reference((1,) + (0,) * len(edges), edges=edges)
    return Reference(empty.count(values[counted]), edges=edges)


def categories_of(values: Sequence[str]) -> Reference | None:
    """The most frequent values of one half, which count the other; None where they are the lesser part of it."""
    fixing, counted = _halves(len(values))
    shared = [
        value
        for value, count in Counter(values[at] for at in fixing).most_common(MAX_CATEGORIES)
        if count >= SHARED_BY and 0 < len(value) <= CATEGORY_LENGTH
    ]
    if not shared:
        return None
    categories = tuple(sorted(shared))
    empty = Reference((1,) + (0,) * len(categories), categories=categories)
    counts = empty.count([values[at] for at in counted])
    return Reference(counts, categories=categories) if sum(counts[:-1]) >= COVERED * sum(counts) else None


def _halves(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Which values fix the bins and which are counted. Drawn, for files often alternate; always the same draw."""
    order = np.random.default_rng(0).permutation(count)
    return order[: count // 2], order[count // 2 :]


def as_text(value: Any) -> str:
    """A text of a tensor, which holds bytes or strings."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
