"""Image classification: ten kinds of garments (Fashion-MNIST)."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from scripts.capabilities import packages
from scripts.capabilities.graphs import Array
from scripts.capabilities.networks import block, export, fit, name_classes

LABELS = [
    "t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
]  # fmt: skip
SIZE = 28
STEPS, BATCH, RATE = 4_000, 128, 0.01


class Garments(nn.Module):
    """Grey values 0 to 255, [rows, 28, 28] → ten probabilities per image."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            block(1, 16), block(16, 24), nn.MaxPool2d(2),
            block(24, 48), block(48, 48), nn.MaxPool2d(2),
            block(48, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(64, len(LABELS)),
        )  # fmt: skip

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores, which the loss wants."""
        return self.layers(images.float().unsqueeze(1) / 128 - 1)  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.scores(images), dim=1)


def read(cache: Path, half: str) -> tuple[Array, Array]:
    """Images and labels of `train` (60,000) or `t10k` (10,000), as the authors divided them."""
    folder = packages.GARMENTS.fetched(cache) / "usr" / "share" / "datasets" / "fashion-mnist"
    images = _idx(next(folder.rglob(f"{half}-images-idx3-ubyte*")))
    return images, _idx(next(folder.rglob(f"{half}-labels-idx1-ubyte*")))


def _idx(path: Path) -> Array:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def train(cache: Path) -> bytes:
    """Train on the 60,000 and export."""
    images, labels = read(cache, "train")
    torch.manual_seed(1)
    x, y = torch.tensor(images), torch.tensor(labels, dtype=torch.long)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.randint(len(x), (BATCH,))
        given = x[chosen]
        dx, dy = (int(torch.randint(-2, 3, ())) for _ in range(2))
        given = torch.roll(given, (dx, dy), (1, 2))
        return (given.flip(2) if step % 2 else given), y[chosen]

    model = Garments()
    loss = nn.CrossEntropyLoss(label_smoothing=0.05)
    fit(model, batch, loss, steps=STEPS, rate=RATE)
    made = export(model, images[:4], given="image", outputs=["probabilities"])
    name_classes(made, LABELS)
    model_bytes: bytes = made.SerializeToString()
    return model_bytes


def measure(model: bytes, images: Array, labels: Array) -> dict[str, float]:
    """Accuracy, and the weakest class's."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = np.concatenate(
        [session.run(["probabilities"], {"image": part})[0] for part in np.array_split(images, 40)]
    ).argmax(axis=1)
    by_class = [float((found[labels == index] == index).mean()) for index in range(len(LABELS))]
    weakest = int(np.argmin(by_class))
    return {
        "accuracy": round(float((found == labels).mean()), 4),
        "rows": len(labels),
        f"accuracy of the weakest class ({LABELS[weakest]})": round(by_class[weakest], 4),
    }
