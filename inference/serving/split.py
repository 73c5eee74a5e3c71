"""The traffic split: which version answers a request that names none."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import blake2b


def position(key: str, *, salt: str) -> int:
    """Where a session stands among the percents 0 to 99: always at the same place for one `key` and `salt`."""
    digest = blake2b(key.encode(), key=salt.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") % 100


def choose(weights: Sequence[int], *, key: str = "", salt: str = "") -> int:
    """The index of the chosen arm. `weights` are integer percents in a stable order, or any whole numbers.

    With a `key` the choice is sticky: a session keeps its arm while the weights stay, and when a weight grows only
    sessions of the percents that moved change over. `salt` (the endpoint's id) keeps the same sessions from being the
    canaries of every endpoint. Raises ValueError when no weight is positive.
    """
    total = sum(weights)
    if total <= 0:
        raise ValueError("no arm has a positive weight")
    point = position(key, salt=salt) * total / 100 if key else random.random() * total  # noqa: S311 - no secret
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)
