"""Linear classifiers over characters' n-grams: small, fast, and the same for every language."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto
from scipy.sparse import csr_matrix, spmatrix
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize

from scripts.capabilities.corpora import Row
from scripts.capabilities.graphs import Array, TextGraph, grams

BATCH = 256


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished graph and the order of its labels."""

    model: bytes
    labels: list[str]


def damped(counts: Any) -> csr_matrix:
    """Counts as the graph damps them: log(1 + n)."""
    counts = csr_matrix(counts, dtype=np.float32)
    counts.data = np.log1p(counts.data)
    return counts


def vocabulary_of(texts: Sequence[str], labels: Sequence[str] | None, size: int) -> list[str]:
    """The n-grams that tell the labels apart best (without labels: the most frequent), sorted."""
    vectoriser = CountVectorizer(analyzer=grams, min_df=3, dtype=np.float32)
    counts = vectoriser.fit_transform(texts)
    if labels is None:
        worth = np.asarray((counts > 0).sum(axis=0)).ravel()
    else:
        worth = np.nan_to_num(chi2(normalize(damped(counts)), labels)[0])
    names = vectoriser.get_feature_names_out()
    return sorted(names[np.argsort(-worth, kind="stable")[:size]])


def counted(texts: Sequence[str], vocabulary: Sequence[str]) -> spmatrix:
    """The texts' features, damped and of length one."""
    vectoriser = CountVectorizer(analyzer=grams, vocabulary=vocabulary, dtype=np.float32)
    return normalize(damped(vectoriser.transform(texts)))


def train(rows: Sequence[Row], *, features: int, strength: float) -> Trained:
    """Fit on these rows and export. `strength` is the inverse of the penalty on weights."""
    texts, labels = [row.text for row in rows], [row.label for row in rows]
    vocabulary = vocabulary_of(texts, labels, features)
    fitted = LogisticRegression(C=strength, max_iter=300, class_weight="balanced")
    fitted.fit(counted(texts, vocabulary), labels)
    weights, bias = fitted.coef_.T, fitted.intercept_
    if len(fitted.classes_) == 2:  # one score is kept; as a softmax of two it is half of it to each side
        weights, bias = np.hstack([-weights, weights]) / 2, np.array([-bias[0], bias[0]]) / 2
    graph = TextGraph(vocabulary)
    graph.classes(weights, bias, list(fitted.classes_))
    outputs: list[tuple[str, int, list[int | str]]] = [
        ("label", TensorProto.STRING, ["rows"]),
        ("probabilities", TensorProto.FLOAT, ["rows", len(fitted.classes_)]),
    ]
    return Trained(graph.model(outputs), [str(label) for label in fitted.classes_])


def predict(model: bytes, texts: Sequence[str], output: str) -> Array:
    """What the exported graph itself answers: figures are of what is served."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    parts = [
        session.run([output], {"text": np.array(texts[at : at + BATCH], dtype=object)})[0]
        for at in range(0, len(texts), BATCH)
    ]
    return np.concatenate(parts)


def accuracy_by_origin(model: bytes, rows: Sequence[Row]) -> dict[str, float]:
    """The share of right labels, in all and per origin, with the number of rows."""
    found = predict(model, [row.text for row in rows], "label")
    right = np.array([row.label == label for row, label in zip(rows, found, strict=True)])
    figures: dict[str, float] = {"accuracy": _share(right), "rows": len(rows)}
    figures["macro_f1"] = _macro_f1([row.label for row in rows], list(found))
    for origin in sorted({row.origin for row in rows}):
        chosen = np.array([row.origin == origin for row in rows])
        figures[f"accuracy {origin}"] = _share(right[chosen])
        figures[f"rows {origin}"] = int(chosen.sum())
    return figures


def _share(right: Iterable[bool]) -> float:
    return round(float(np.mean(list(right))), 4)


def _macro_f1(truth: Sequence[str], found: Sequence[str]) -> float:
    from sklearn.metrics import f1_score

    return round(float(f1_score(truth, found, average="macro")), 4)
