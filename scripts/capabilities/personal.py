"""Personal data: the set of patterns, and how it does on made numbers in real sentences and on sentences alone."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from inference.serving.pattern_checks import CHECKS
from inference.serving.patterns import FORMAT, PatternRuntime, _pattern
from scripts.capabilities import corpora

MOST_CHARACTERS = 100_000
PER_KIND = 300
CONFUSIONS = 300
_BEFORE, _AFTER = r"(?<![0-9A-Za-z])", r"(?![0-9A-Za-z])"
_PLATES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"

# In order of precedence: of two that overlap, the earlier stays.
PATTERNS: list[dict[str, str]] = [
    {
        "kind": "china_identity",
        "expression": rf"{_BEFORE}(?P<it>[1-9]\d{{16}}[\dXx]){_AFTER}",
        "check": "china_identity",
    },
    {
        "kind": "china_company",
        "expression": rf"{_BEFORE}(?P<it>[0-9A-HJ-NPQRTUWXY]{{18}}){_AFTER}",
        "check": "china_company",
    },
    {
        "kind": "iban",
        "expression": rf"{_BEFORE}(?P<it>[A-Z]{{2}}\d{{2}} ?[0-9A-Z]{{4}}(?: ?(?=[A-Z]{{0,3}}\d)[0-9A-Z]{{4}}){{1,6}}"
        rf"(?: ?(?=[A-Z]{{0,2}}\d)[0-9A-Z]{{1,3}})?){_AFTER}",
        "check": "iban",
    },
    {
        "kind": "bank_card",
        "expression": r"(?<![\d.-])(?P<it>[2-6]\d{3}(?:[ -]?\d){9,15})(?![\d-])",
        "check": "bank_card",
    },
    {
        "kind": "email",
        "expression": r"(?<![A-Za-z0-9._%+-])(?P<it>[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})"
        r"(?![A-Za-z0-9-])",
    },
    {
        "kind": "us_social_security",
        "expression": r"(?<![\d-])(?P<it>\d{3}-\d{2}-\d{4})(?![\d-])",
        "check": "us_social_security",
    },
    {
        "kind": "china_mobile",
        "expression": r"(?<![\dA-Za-z])(?P<it>(?:(?:\+|00)86[ -]?)?1[3-9]\d(?:[ -]?\d{4}){2})(?!\d)",
    },
    {"kind": "china_landline", "expression": r"(?<![\d-])(?P<it>0[1-9]\d{1,2}[- ]\d{7,8})(?![\d-])"},
    {
        "kind": "telephone",
        "expression": r"(?<![\w+])(?P<it>(?=\+(?:\D?\d){8,15}(?!\d))\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6})(?!\d)",
    },
    {
        "kind": "telephone",
        "expression": r"(?<![\d-])(?P<it>\(?[2-9]\d{2}\)?[ .-][2-9]\d{2}[ .-]\d{4})(?![\d-])",
    },
    {
        "kind": "ip_address",
        "expression": r"(?<![\d.])(?P<it>(?:\d{1,3}\.){3}\d{1,3})(?![\d.])",
        "check": "address",
    },
    {
        "kind": "ip_address",
        "expression": r"(?<![0-9A-Za-z:.])(?P<it>(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4})(?![0-9A-Za-z:.])",
        "check": "address",
    },
    {
        "kind": "china_passport",
        "expression": rf"护照(?:号码|号)?[:：为是 ]{{0,3}}(?P<it>[EeGgDdSsPp][A-Za-z]?\d{{7,8}}){_AFTER}",
    },
    {"kind": "china_plate", "expression": rf"(?P<it>[{_PLATES}][A-HJ-NP-Z]·?[A-HJ-NP-Z0-9]{{5,6}}){_AFTER}"},
]


def artifact() -> bytes:
    """The document that is served."""
    document = {"format": FORMAT, "most_characters": MOST_CHARACTERS, "patterns": PATTERNS}
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def runtime() -> PatternRuntime:
    """What serves it."""
    return PatternRuntime(tuple(_pattern(entry) for entry in PATTERNS), MOST_CHARACTERS)


class Numbers:
    """Makes numbers that hold: their last sign is found by trying, so that no second formula can be wrong alike."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.makers: dict[str, Callable[[], str]] = {
            "china_identity": self._identity,
            "china_company": self._company,
            "iban": self._iban,
            "bank_card": self._card,
            "email": self._email,
            "us_social_security": lambda: f"{self._n(1, 665):03}-{self._n(1, 99):02}-{self._n(1, 9999):04}",
            "china_mobile": lambda: f"{self._pick(['', '+86 ', '+86'])}1{self._n(3, 9)}{self._digits(9)}",
            "china_landline": lambda: (
                f"{self._pick(['010', '021', '0755', '0571'])}-{self._n(2, 9)}{self._digits(7)}"
            ),
            "telephone": self._telephone,
            "ip_address": lambda: ".".join(str(self._n(1, 254)) for _ in range(4)),
            "china_plate": lambda: (
                self._pick(list(_PLATES)) + "B" + self._digits(4) + self._pick(list("ABCDEF"))
            ),
        }

    def _identity(self) -> str:
        born = f"{self._n(1940, 2010)}{self._n(1, 12):02}{self._n(1, 28):02}"
        return self._closed(
            f"{self._pick(['110105', '310115', '440305', '510104'])}{born}{self._digits(3)}",
            "china_identity",
            "0123456789X",
        )

    def _company(self) -> str:
        return self._closed(
            f"91{self._pick(['110108', '310115'])}MA{self._digits(7)}",
            "china_company",
            "0123456789ABCDEFGHJKLMNPQRTUWXY",
        )

    def _iban(self) -> str:
        country, rest = self._pick([("DE", 18), ("NL", 0), ("FR", 23), ("GB", 0), ("ES", 20)])
        body = {"NL": f"ABNA{self._digits(10)}", "GB": f"NWBK{self._digits(14)}"}.get(
            country, self._digits(rest)
        )
        found = next(whole for check in range(2, 99) if CHECKS["iban"](whole := f"{country}{check:02}{body}"))
        return " ".join(found[at : at + 4] for at in range(0, len(found), 4)) if self._n(0, 1) else found

    def _card(self) -> str:
        number = self._closed(
            f"{self._pick(['4', '51', '62', '622'])}{self._digits(15)}"[:15], "luhn", string.digits
        )
        return " ".join(number[at : at + 4] for at in range(0, 16, 4)) if self._n(0, 1) else number

    def _email(self) -> str:
        name = "".join(self._pick(list(string.ascii_lowercase)) for _ in range(self._n(3, 10)))
        place = self._pick(["example.com", "mail.example.cn", "b-c.example.org"])
        return f"{name}{self._pick(['', '.li', '_2', '+x'])}@{place}"

    def _telephone(self) -> str:
        if self._n(0, 1):
            return f"({self._n(200, 999)}) {self._n(200, 999)}-{self._digits(4)}"
        return (
            f"+{self._pick(['44', '49', '33', '81'])} {self._n(10, 99)} {self._digits(4)} {self._digits(4)}"
        )

    def _closed(self, body: str, check: str, signs: str) -> str:
        return next(body + sign for sign in signs if CHECKS[check](body + sign))

    def _digits(self, count: int) -> str:
        return "".join(str(self._n(0, 9)) for _ in range(count))

    def _n(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def _pick(self, values: Sequence[Any]) -> Any:
        return self._random.choice(values)


def measure(sentences: Sequence[str], *, per_kind: int = PER_KIND) -> dict[str, float]:
    """Recall and exact spans on made numbers in real sentences; alarms on wrong numbers and on the sentences alone."""
    found_by, numbers, place = runtime(), Numbers(seed=7), random.Random(3)
    figures: dict[str, float] = {}
    hits, exact, extra, count = 0, 0, 0, 0
    for kind, make in numbers.makers.items():
        for _ in range(per_kind):
            value, sentence = make(), place.choice(sentences)
            at = place.randint(0, len(sentence)) if place.random() < 0.2 else len(sentence)
            before = sentence[:at] + place.choice([" ", "：", ", "])
            entities = found_by.find(before + value + place.choice([" ", "。", ", "]) + sentence[at:])
            mine = [
                e
                for e in entities
                if e.kind == kind and e.start < len(before) + len(value) and e.end > len(before)
            ]
            hits += bool(mine)
            exact += any((e.start, e.end) == (len(before), len(before) + len(value)) for e in mine)
            extra += len(entities) - len(mine)
            count += 1
    figures["recall on made numbers"] = round(hits / count, 4)
    figures["exact spans on made numbers"] = round(exact / count, 4)
    figures["rows of made numbers"] = count
    wrong = [
        w
        for kind in ("china_identity", "china_company", "iban")
        for w in _wrong(numbers, kind, per_kind // 3)
    ]
    alarms = sum(any(e.verified for e in found_by.find(f"编号 {number}。")) for number in wrong)
    figures["alarms on numbers with one wrong digit"] = round(alarms / len(wrong), 4)
    figures["alarms per 1,000 sentences without made numbers"] = round(
        1000 * sum(len(found_by.find(sentence)) for sentence in sentences) / len(sentences), 3
    )
    figures["rows of sentences"] = len(sentences)
    return figures


def _wrong(numbers: Numbers, kind: str, count: int) -> list[str]:
    """Numbers of which one digit was changed, as a slip of the pen does."""
    slip, rows = random.Random(11), []
    for _ in range(count):
        signs = list(numbers.makers[kind]())
        places = [at for at, sign in enumerate(signs) if sign.isdigit() and at >= 2]
        at = slip.choice(places)
        signs[at] = str((int(signs[at]) + slip.randint(1, 9)) % 10)
        rows.append("".join(signs))
    return rows


def sentences_of(cache: Path) -> list[str]:
    """Real sentences in both languages, those held out from the other capabilities' training."""
    rows = [row for row in corpora.reviews(cache) + corpora.rated(cache) if row.held_out]
    return [row.text for row in rows]
