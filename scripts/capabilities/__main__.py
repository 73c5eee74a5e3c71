"""`python -m scripts.capabilities [NAME…]`: train, export, measure; writes artifacts, cards and the page's table."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.capabilities import cards, classifiers, corpora, personal, sentences
from scripts.capabilities.corpora import Row

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "inference" / "capabilities"
HELD_OUT = ROOT / "tests" / "inference" / "capabilities" / "held_out"
PAGE = ROOT / "docs" / "capabilities.md"
VERSION = "1.0.0"
SAMPLE = 300
Tensor = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What a builder gives: the artifact, its tensors and classes, the figures, and a sample with its own figures."""

    artifact: bytes
    kind: str
    takes: str
    outputs: list[Tensor]
    figures: dict[str, float]
    classes: list[str] = dataclasses.field(default_factory=list)
    sample: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    size: int = 0
    format: str = "onnx"


class Builder:
    """Makes each capability. With `again`, models that were trained before are only measured anew."""

    def __init__(self, cache: Path, *, again: bool) -> None:
        self._cache = cache
        self._again = again

    def sentiment(self) -> Made:
        rows = corpora.reviews(self._cache) + corpora.rated(self._cache)
        return self._classifier("sentiment", rows, features=20_000, strength=10)

    def language(self) -> Made:
        english = [
            dataclasses.replace(row, label="en", origin="English sentences")
            for row in corpora.rated(self._cache)
        ]
        chinese = [
            dataclasses.replace(row, label="zh-Hans", origin="Chinese reviews")
            for row in corpora.reviews(self._cache)
        ]
        articles = corpora.declaration(self._cache)
        cut = [row for row in corpora.pieces(articles) if not row.held_out]
        rows = articles + corpora.translations(self._cache) + cut + english[::15] + chinese[::15]
        return self._classifier("language", corpora.distinct(rows), features=12_000, strength=20)

    def intent(self) -> Made:
        asked = [
            row
            for language in ("en", "zh-CN")
            for row in sentences.commands(language, corpora.intents_of(self._cache, language))
        ]
        talk = (
            corpora.rated(self._cache)[::6]
            + corpora.reviews(self._cache)[::6]
            + corpora.small_talk(self._cache)
        )
        other = [dataclasses.replace(row, label="other", origin=f"{row.origin[:2]} other") for row in talk]
        return self._classifier("intent", corpora.distinct(asked + other), features=10_000, strength=20)

    def embedding(self) -> Made:
        from scripts.capabilities import embedding
        from scripts.capabilities.teacher import Teacher

        teacher, pairs = Teacher(self._cache), embedding.pairs_of(self._cache)
        known = [pair for pair in pairs if not pair.held_out]

        def train() -> bytes:
            texts = list(dict.fromkeys(pair.english for pair in known))
            taught = teacher.embed(texts)
            places = {text: place for place, text in enumerate(texts)}
            wanted = taught[[places[pair.english] for pair in known]]
            return embedding.train(known, embedding.reduce(wanted, taught))

        model = self._trained("embedding", train)
        unseen = [pair for pair in pairs if pair.held_out]
        figures = embedding.measure(model, unseen, teacher, self._cache)
        outputs = [{"name": "embedding", "datatype": "FP32", "shape": [-1, embedding.WIDTH]}]
        some = [pair for pair in unseen if pair.origin.startswith("zh messages zh_Hans")]
        some = list({pair.english: pair for pair in some}.values())
        sample = {"zh": [pair.text for pair in some], "en": [pair.english for pair in some]}
        return Made(model, "embedding", "text", outputs, figures, sample=sample)

    def pii(self) -> Made:
        figures = personal.measure(personal.sentences_of(self._cache))
        outputs = [
            {"name": "entities", "datatype": "BYTES", "shape": [-1]},
            {"name": "masked", "datatype": "BYTES", "shape": [-1]},
            {"name": "count", "datatype": "INT64", "shape": [-1]},
        ]
        return Made(personal.artifact(), "entities", "text", outputs, figures, format="patterns")

    def garments(self) -> Made:
        from scripts.capabilities import garments

        model = self._trained("garments", lambda: garments.train(self._cache))
        images, labels = garments.read(self._cache, "t10k")
        figures = garments.measure(model, images, labels)
        some = {"image": images[:SAMPLE], "label": labels[:SAMPLE]}
        return Made(
            model, "classes", "image", _class_outputs(len(garments.LABELS)), figures,
            classes=garments.LABELS, sample=some, size=garments.SIZE,
        )  # fmt: skip

    def defects(self) -> Made:
        from scripts.capabilities import defects

        model = self._trained("defects", lambda: defects.train(self._cache))
        figures: dict[str, float] = {}
        for name, surfaces in (("seen", defects.SEEN), ("unseen", defects.UNSEEN)):
            found = defects.measure(model, *defects.held_out(self._cache, surfaces, 300))
            figures |= {f"{name} {figure}": value for figure, value in found.items()}
        images, masks = defects.held_out(self._cache, defects.UNSEEN, 24)
        outputs = [
            {"name": "heat", "datatype": "FP32", "shape": [-1, defects.SIZE, defects.SIZE]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
        ]
        return Made(
            model, "defects", "image", outputs, figures,
            sample={"image": images, "mask": masks}, size=defects.SIZE,
        )  # fmt: skip

    def _classifier(self, name: str, rows: Sequence[Row], *, features: int, strength: float) -> Made:
        known, unseen = [row for row in rows if not row.held_out], [row for row in rows if row.held_out]
        labels = sorted({row.label for row in known})
        model = self._trained(
            name, lambda: classifiers.train(known, features=features, strength=strength).model
        )
        figures = classifiers.accuracy_by_origin(model, unseen)
        # What people wrote there about where they can be reached does not go into the product's tree.
        finder = personal.runtime()
        shown = [row for row in unseen[:: max(1, len(unseen) // SAMPLE)] if not finder.find(row.text)]
        sample = {"text": [row.text for row in shown], "label": [row.label for row in shown]}
        return Made(
            model, "classes", "text", _class_outputs(len(labels)), figures, classes=labels, sample=sample
        )

    def _trained(self, name: str, train: Callable[[], bytes]) -> bytes:
        kept = self._cache / "built" / f"{name}.onnx"
        if self._again and kept.exists():
            return kept.read_bytes()
        model = train()
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(model)
        return model


def _class_outputs(classes: int) -> list[Tensor]:
    return [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, classes]},
    ]


def write(name: str, made: Made) -> dict[str, Any]:
    """The artifact, its card and its sample; returns the catalogue's entry."""
    file = f"{name}.json" if made.format == "patterns" else f"{name}.onnx"
    (HOME / "artifacts" / file).write_bytes(made.artifact)
    (HOME / "cards" / f"{name}.md").write_text(
        cards.card(name, version=VERSION, figures=made.figures), "utf-8"
    )
    given = (
        {"name": "text", "datatype": "BYTES", "shape": [-1]}
        if made.takes == "text"
        else {"name": "image", "datatype": "UINT8", "shape": [-1, made.size, made.size]}
    )
    if made.sample:
        HELD_OUT.mkdir(parents=True, exist_ok=True)
        if made.takes == "image":
            np.savez_compressed(HELD_OUT / f"{name}.npz", **made.sample)
        else:
            text = json.dumps(made.sample, ensure_ascii=False, indent=0)
            (HELD_OUT / f"{name}.json").write_text(text + "\n", "utf-8")
    return {
        "name": name, "kind": made.kind, "takes": made.takes, "version": VERSION, "format": made.format, "file": file,
        "sha256": hashlib.sha256(made.artifact).hexdigest(), "inputs": [given], "outputs": made.outputs,
        "classes": made.classes, "figures": made.figures, "headline": cards.headline(name, made.figures),
        "licence": cards.CARDS[name].licence,
    }  # fmt: skip


def write_page(entries: Sequence[Mapping[str, Any]]) -> None:
    """The table between the page's markers."""
    rows = [
        f"| `{entry['name']}` | {entry['headline']} | {_size(entry['file'])} | {entry['licence']} |"
        for entry in entries
    ]
    table = "\n".join(
        [
            "| capability | measured on held-out data | size | licence of the weights |",
            "|---|---|---|---|",
            *rows,
        ]
    )
    page = PAGE.read_text("utf-8")
    begin, end = "<!-- figures: begin -->", "<!-- figures: end -->"
    page = re.sub(f"(?s){begin}.*{end}", lambda _: f"{begin}\n{table}\n{end}", page)
    PAGE.write_text(page, "utf-8")


def _size(file: str) -> str:
    return f"{(HOME / 'artifacts' / file).stat().st_size / 1024:,.0f} KiB"


def main() -> None:
    """Make those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(cards.CARDS)}; default: all")
    parser.add_argument(
        "--cache", type=Path, default=ROOT / "var" / "capability-data", help="where packages are kept"
    )
    parser.add_argument(
        "--measure", action="store_true", help="keep what was trained before; measure and write anew"
    )
    options = parser.parse_args()
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    builder = Builder(options.cache.resolve(), again=options.measure)
    catalogue = HOME / "artifacts" / "catalogue.json"
    known = (
        {entry["name"]: entry for entry in json.loads(catalogue.read_text("utf-8"))}
        if catalogue.exists()
        else {}
    )
    for name in options.names or cards.CARDS:
        print(name, flush=True)
        known[name] = write(name, getattr(builder, name)())
        print(f"  {known[name]['headline']}", flush=True)
        entries = [known[each] for each in cards.CARDS if each in known]
        catalogue.write_text(json.dumps(entries, ensure_ascii=False, indent=1) + "\n", "utf-8")
        if PAGE.exists():
            write_page(entries)


if __name__ == "__main__":
    main()
