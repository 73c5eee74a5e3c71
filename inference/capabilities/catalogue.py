"""The base capabilities that come with the product: what each is called, takes and gives, and how good it is.

`artifacts/catalogue.json` is written by `python -m scripts.capabilities` together with the artifacts and the cards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.errors import NotFound

FOLDER = Path(__file__).parent / "artifacts"
CARDS = Path(__file__).parent / "cards"
SOURCE_TYPE = "capabilities.capability"
PREFIX = "base-"  # of the models' and the endpoints' names, beside which a tenant has its own

Kind = Literal["classes", "embedding", "entities", "defects"]

TITLES: dict[str, tuple[str | Promise, str | Promise]] = {
    "embedding": (
        gettext_lazy("Sentence embedding"),
        gettext_lazy("128 numbers per text, near each other where texts are alike, in English and Chinese."),
    ),
    "intent": (
        gettext_lazy("Intent"),
        gettext_lazy("What a short command wants done, in English or Chinese, or that it is none."),
    ),
    "sentiment": (
        gettext_lazy("Sentiment"),
        gettext_lazy("Whether an English or Chinese text speaks well or badly of something."),
    ),
    "language": (gettext_lazy("Language"), gettext_lazy("Which of 45 languages a text is written in.")),
    "pii": (
        gettext_lazy("Personal data"),
        gettext_lazy(
            "Numbers and addresses of people in a text, verified by their check digits, and masked."
        ),
    ),
    "garments": (
        gettext_lazy("Image classification"),
        gettext_lazy("Which of ten kinds of garment a small grey picture shows."),
    ),
    "defects": (
        gettext_lazy("Defect localisation"),
        gettext_lazy("Where on an even, textured surface something differs from the rest of it."),
    ),
}


@dataclass(frozen=True, slots=True)
class Capability:
    """One of them. `figures` are those of its card, by name; `summary` names the one that counts most."""

    name: str
    kind: Kind
    takes: Literal["text", "image"]
    version: str
    format: str
    file: str
    sha256: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    classes: list[str]
    figures: Mapping[str, float]
    headline: str
    licence: str

    @property
    def title(self) -> str | Promise:
        """In the reader's language."""
        return TITLES[self.name][0]

    @property
    def purpose(self) -> str | Promise:
        """What it tells, in a sentence, in the reader's language."""
        return TITLES[self.name][1]

    @property
    def model_name(self) -> str:
        """The name of its model, and of its endpoint."""
        return PREFIX + self.name

    @property
    def artifact(self) -> Path:
        """Its file in the product."""
        return FOLDER / self.file

    @property
    def card(self) -> str:
        """The model card, Markdown with front matter."""
        return (CARDS / f"{self.name}.md").read_text("utf-8")

    @property
    def size(self) -> int:
        """The width and height in pixels that an image is brought to."""
        return int(self.inputs[0]["shape"][1])


@cache
def capabilities() -> dict[str, Capability]:
    """All of them by name, in the order of pages."""
    entries = json.loads((FOLDER / "catalogue.json").read_text("utf-8"))
    found = {entry["name"]: Capability(**entry) for entry in entries}
    return {name: found[name] for name in TITLES if name in found}


def capability(name: str) -> Capability:
    """One by name. Raises NotFound."""
    found = capabilities().get(name)
    if found is None:
        raise NotFound(
            _("There is no base capability “%(name)s”.") % {"name": name},
            hint=_("There are: %(names)s.") % {"names": ", ".join(capabilities())},
        )
    return found
