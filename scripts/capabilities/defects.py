"""Defect localisation on textured surfaces: real photographs, defects cut and painted into them.

No package carries a freely licensed set of real defects, and the card says so. Trained on brick and grass (the upper
three quarters of each), measured on the rest of them and on gravel, which training never sees.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from PIL import Image, ImageDraw, ImageFilter
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn
from torch.nn import functional

from scripts.capabilities import packages
from scripts.capabilities.graphs import Array
from scripts.capabilities.networks import block, export, fit

SIZE = 128
SEEN, UNSEEN = ("brick", "grass"), ("gravel",)
# What is pasted in: other pictures in training than in the measurement.
FOREIGN = {"train": ("page", "text"), "test": ("coins", "moon", "camera")}
KINDS = ("foreign", "scratch", "stain", "hole", "smear")
STEPS, BATCH, RATE = 1_600, 12, 0.006


class Defects(nn.Module):
    """Grey values 0 to 255, [rows, 128, 128] → how likely each pixel is part of a defect, and the image's peak.

    Every feature is compared with its mean and spread over the same image: what counts is what differs from the rest
    of the surface, so that a surface it has not seen is judged by its own measure.
    """

    def __init__(self) -> None:
        super().__init__()
        # Four pixels become four channels first: a quarter of the work, and nothing is lost.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), block(4, 16), block(16, 16))
        self.middle = nn.Sequential(nn.MaxPool2d(2), block(16, 24), block(24, 24, dilation=2))
        self.deep = nn.Sequential(nn.MaxPool2d(2), block(24, 32, dilation=2), block(32, 32, dilation=4))
        self.join_middle = block(32 * 2 + 24 * 2, 24)
        self.join_stem = block(24 + 16 * 2, 24)
        self.last = nn.Sequential(nn.Conv2d(24, 4, 1), nn.PixelShuffle(2))

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores per pixel."""
        pixels = images.float().unsqueeze(1)
        stem = self.stem(_apart(pixels))
        middle = self.middle(stem)
        deep = self.deep(middle)
        up = functional.interpolate(_with_contrast(deep), scale_factor=2.0, mode="nearest")
        up = self.join_middle(torch.cat([up, _with_contrast(middle)], 1))
        up = functional.interpolate(up, scale_factor=2.0, mode="nearest")
        return self.last(self.join_stem(torch.cat([up, _with_contrast(stem)], 1)))[:, 0]  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heat = torch.sigmoid(self.scores(images))
        # A single hot pixel is no defect: the peak of the mean over 5x5.
        return heat, functional.avg_pool2d(heat.unsqueeze(1), 5, 1).amax(dim=(1, 2, 3))


def _apart(features: torch.Tensor) -> torch.Tensor:
    """How far each feature is from its mean over the image, in spreads."""
    mean = features.mean(dim=(2, 3), keepdim=True)
    spread = (features - mean).square().mean(dim=(2, 3), keepdim=True).add(1e-3).sqrt()
    return (features - mean) / spread


def _with_contrast(features: torch.Tensor) -> torch.Tensor:
    return torch.cat([features, _apart(features)], 1)


def pictures(cache: Path) -> dict[str, Array]:
    """The photographs as grey values."""
    folder = packages.SURFACES.fetched(cache) / "skimage" / "data"
    names = ("brick", "grass", "gravel", "page", "text", "coins", "moon", "camera")
    return {name: np.asarray(Image.open(folder / f"{name}.png").convert("L")) for name in names}


class Maker:
    """Makes samples: a piece of a surface, in two of three cases with one defect, and the mask of it."""

    def __init__(self, found: dict[str, Array], surfaces: tuple[str, ...], half: str, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        rows = slice(0, 384) if half == "train" else slice(384, 512)
        self._surfaces = [found[name] if name in UNSEEN else found[name][rows] for name in surfaces]
        other = {name: image for name, image in found.items() if name in FOREIGN[half]}
        self._foreign = list(other.values()) + (self._surfaces if half == "train" else [])

    def sample(self, *, defect: bool | None = None) -> tuple[Array, Array]:
        """An image and a mask, both [128, 128] of bytes; the mask is 0 or 1."""
        image = self._piece(self._surfaces[self._random.integers(len(self._surfaces))]).astype(np.float32)
        mask = np.zeros((SIZE, SIZE), np.float32)
        if self._random.random() < 2 / 3 if defect is None else defect:
            image, mask = self._damage(image, KINDS[self._random.integers(len(KINDS))])
        image = (
            (image - image.mean()) * self._random.uniform(0.7, 1.3)
            + image.mean()
            + self._random.uniform(-30, 30)
        )
        image += self._random.normal(0, self._random.uniform(0, 4), image.shape)
        return np.clip(image, 0, 255).astype(np.uint8), (mask > 0.5).astype(np.uint8)

    def _piece(self, surface: Array) -> Array:
        size = int(self._random.integers(96, min(surface.shape[0], 224) + 1))
        top, left = (int(self._random.integers(0, side - size + 1)) for side in surface.shape)
        piece = surface[top : top + size, left : left + size]
        piece = np.rot90(piece, self._random.integers(4))
        if self._random.random() < 0.5:
            piece = piece[:, ::-1]
        return np.asarray(
            Image.fromarray(np.ascontiguousarray(piece)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        )

    def _damage(self, image: Array, kind: str) -> tuple[Array, Array]:
        mask = self._line() if kind == "scratch" else self._blob()
        soft = (
            np.asarray(Image.fromarray((mask * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8)))
            / 255.0
        )
        sign = 1 if self._random.random() < 0.5 else -1
        match kind:
            case "foreign":
                other = self._piece(self._foreign[self._random.integers(len(self._foreign))]).astype(
                    np.float32
                )
                changed = other - other.mean() + image.mean() * self._random.uniform(0.7, 1.3)
            case "scratch":
                changed = image + sign * self._random.uniform(50, 110)
            case "stain":
                changed = image * (1 + sign * self._random.uniform(0.25, 0.5))
            case "hole":
                changed = np.full_like(image, self._random.uniform(0, 40))
            case _:
                blurred = Image.fromarray(image.astype(np.uint8)).filter(ImageFilter.GaussianBlur(4))
                changed = np.asarray(blurred).astype(np.float32)
        return image * (1 - soft) + changed * soft, mask

    def _blob(self) -> Array:
        """A ragged spot of 8 to 40 pixels across."""
        radius = self._random.uniform(4, 20)
        x, y = self._random.uniform(radius, SIZE - radius, 2)
        corners = [
            (x + radius * r * np.cos(a), y + radius * r * np.sin(a))
            for a, r in zip(
                np.linspace(0, 2 * np.pi, 12, endpoint=False), self._random.uniform(0.5, 1, 12), strict=True
            )
        ]
        return _drawn(lambda draw: draw.polygon(corners, fill=255))

    def _line(self) -> Array:
        """A bent line, 2 to 4 pixels wide."""
        start, angle = self._random.uniform(20, SIZE - 20, 2), self._random.uniform(0, 2 * np.pi)
        points = [tuple(start)]
        for _ in range(int(self._random.integers(2, 5))):
            angle += self._random.normal(0, 0.3)
            last, length = points[-1], self._random.uniform(12, 28)
            points.append((last[0] + length * np.cos(angle), last[1] + length * np.sin(angle)))
        width = int(self._random.integers(2, 5))
        return _drawn(lambda draw: draw.line(points, fill=255, width=width))


def _drawn(paint: object) -> Array:
    canvas = Image.new("L", (SIZE, SIZE))
    paint(ImageDraw.Draw(canvas))  # type: ignore[operator]
    return np.asarray(canvas).astype(np.float32) / 255


def train(cache: Path) -> bytes:
    """Train and export."""
    torch.manual_seed(1)
    found = pictures(cache)
    maker = Maker(found, SEEN, "train", seed=1)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        made = [maker.sample() for _ in range(BATCH)]
        return torch.tensor(np.stack([m[0] for m in made])), torch.tensor(
            np.stack([m[1] for m in made])
        ).float()

    def loss(scores: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        ce = functional.binary_cross_entropy_with_logits(scores, wanted, pos_weight=torch.tensor(3.0))
        p = torch.sigmoid(scores)
        dice = 1 - (2 * (p * wanted).sum() + 1) / (p.sum() + wanted.sum() + 1)
        return ce + 0.5 * dice

    model = Defects()
    fit(model, batch, loss, steps=STEPS, rate=RATE)
    example = np.stack([maker.sample()[0] for _ in range(4)])
    made: bytes = export(model, example, given="image", outputs=["heat", "score"]).SerializeToString()
    return made


def held_out(cache: Path, surfaces: tuple[str, ...], rows: int) -> tuple[Array, Array]:
    """Images and masks of parts that training never saw; every second one is sound."""
    maker = Maker(pictures(cache), surfaces, "test", seed=20240101)
    made = [maker.sample(defect=index % 2 == 0) for index in range(rows)]
    return np.stack([m[0] for m in made]), np.stack([m[1] for m in made])


def measure(model: bytes, images: Array, masks: Array) -> dict[str, float]:
    """How well pixels are ordered (AUROC, average precision), the overlap at one half, and how well images are."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    parts = [session.run(None, {"image": part}) for part in np.array_split(images, max(1, len(images) // 50))]
    heat, score = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    damaged = masks.any(axis=(1, 2))
    hot = heat > 0.5
    overlap = (hot & (masks == 1)).sum() / max(1, (hot | (masks == 1)).sum())
    return {
        "pixel AUROC": round(float(roc_auc_score(masks.ravel(), heat.ravel())), 4),
        "pixel average precision": round(float(average_precision_score(masks.ravel(), heat.ravel())), 4),
        "IoU": round(float(overlap), 4),
        "image AUROC": round(float(roc_auc_score(damaged, score)), 4),
        "rows": len(images),
    }
