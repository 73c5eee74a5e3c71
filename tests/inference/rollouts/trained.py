"""Rows that a version was trained on, and answers that it gave, as a reference has them or shifted."""

from __future__ import annotations

import numpy as np

SAID = {"cat": 0.6, "dog": 0.3, "owl": 0.1}


def normal(rows, mean=0.0, seed=5):
    return np.random.default_rng(seed).normal(mean, 1, (rows, 3)).astype(np.float32)


def answers(count, shares=None, sure=0.0, seed=5):
    """Classes in these shares, and confidences."""
    numbers = np.random.default_rng(seed)
    shares = shares or SAID
    names = numbers.choice(list(shares), count, p=list(shares.values()))
    return [(str(name), float(numbers.uniform(0.4, 0.9) + sure)) for name in names]
