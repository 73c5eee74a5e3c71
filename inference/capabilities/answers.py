"""A model's outputs, put for a person or a program that wants the answer and not tensors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from inference.capabilities.catalogue import Capability

MOST_CLASSES = 5
HOT = 0.5
_ALL, _BUT_FIRST, _BUT_LAST = slice(None), slice(1, None), slice(None, -1)
_NEIGHBOURS = (
    ((_BUT_FIRST, _ALL), (_BUT_LAST, _ALL)),
    ((_BUT_LAST, _ALL), (_BUT_FIRST, _ALL)),
    ((_ALL, _BUT_FIRST), (_ALL, _BUT_LAST)),
    ((_ALL, _BUT_LAST), (_ALL, _BUT_FIRST)),
)
LEAST_PIXELS = 12  # of the model's own picture: a smaller spot is noise


def answer_of(
    capability: Capability, outputs: dict[str, Any], *, size: tuple[int, int] | None = None
) -> dict[str, Any]:
    """One row's answer. `size` is the width and height of the picture that was sent, in whose pixels boxes are."""
    match capability.kind:
        case "classes":
            return _classes(capability.classes, outputs)
        case "embedding":
            return {"embedding": outputs["embedding"]}
        case "entities":
            return {"entities": json.loads(outputs["entities"]), "masked": outputs["masked"]}
        case "defects":
            return {"score": outputs["score"], "boxes": boxes(np.array(outputs["heat"], dtype=float), size)}


def _classes(names: list[str], outputs: dict[str, Any]) -> dict[str, Any]:
    likely = sorted(zip(outputs["probabilities"], names, strict=True), reverse=True)[:MOST_CLASSES]
    return {
        "label": outputs["label"],
        "confidence": likely[0][0],
        "probabilities": {name: probability for probability, name in likely},
    }


def boxes(heat: Any, size: tuple[int, int] | None) -> list[dict[str, float]]:
    """The rectangles around what is hot and hangs together, the hottest first, in the sent picture's pixels."""
    height, width = heat.shape
    across, down = (size[0] / width, size[1] / height) if size else (1.0, 1.0)
    found = []
    for rows, columns in _spots(heat > HOT):
        top, left = int(rows.min()), int(columns.min())
        found.append(
            {
                "x": round(left * across),
                "y": round(top * down),
                "width": round((int(columns.max()) + 1 - left) * across),
                "height": round((int(rows.max()) + 1 - top) * down),
                "peak": round(float(heat[rows, columns].max()), 4),
            }
        )
    return sorted(found, key=lambda box: -box["peak"])


def _spots(hot: Any) -> list[tuple[Any, Any]]:
    """The parts of a mask that hang together over sides and are no noise, each as its rows and columns.

    All parts grow at once: every pixel takes the highest number among its neighbours until none changes any more.
    """
    labels = np.where(hot, np.arange(1, hot.size + 1).reshape(hot.shape), 0)
    while True:
        grown = labels.copy()
        for here, there in _NEIGHBOURS:
            np.maximum(grown[here], labels[there], out=grown[here])
        grown[~hot] = 0
        if (grown == labels).all():
            break
        labels = grown
    spots: list[tuple[Any, Any]] = []
    numbers, sizes = np.unique(labels[hot], return_counts=True)
    for number in numbers[sizes >= LEAST_PIXELS]:
        rows, columns = np.nonzero(labels == number)
        spots.append((rows, columns))
    return spots
