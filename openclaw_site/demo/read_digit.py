"""Read one handwritten digit from the probabilities of the digits model.

Packed into the demo's plugin as the skill `read-digit`; runs in the sandbox with Python's standard library only.
"""

from __future__ import annotations

import math


def run(payload: dict) -> dict:
    """Return the digit, how sure the model is, the runner-up, and a sentence, from ten probabilities."""
    chances = [float(value) for value in payload["probabilities"]]
    total = sum(chances)
    if not all(math.isfinite(value) and value >= 0 for value in chances) or total <= 0:
        raise ValueError("The ten probabilities must be numbers from 0 upwards, and not all of them 0.")
    order = sorted(range(10), key=lambda digit: chances[digit], reverse=True)
    best, second = order[0], order[1]
    confidence, runner_up = chances[best] / total, chances[second] / total
    unsure = confidence < float(payload.get("threshold", 0.8))
    if unsure:
        sentence = f"Probably {best} ({confidence:.0%}), but it may be {second} ({runner_up:.0%}): let a person look."
    else:
        sentence = f"This is {best} ({confidence:.0%})."
    return {
        "digit": best,
        "confidence": round(confidence, 6),
        "runner_up": second,
        "needs_a_person": unsure,
        "sentence": sentence,
    }
