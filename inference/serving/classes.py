"""The class that an answer says, for outcome records: feedback with the right class tells how good a version is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inference.serving.datatypes import Tensors

# More columns than this are an embedding or a picture, not classes.
MAX_CLASSES = 1_000
SUM_TOLERANCE = 0.01
SHORT = 64


@dataclass(frozen=True, slots=True)
class ClassReader:
    """Which outputs of a version look like a classification: by their declared form, so that a request costs little.

    `probabilities` is the last floating-point output with a class axis, `label` the first whole number per row.
    """

    probabilities: str = ""
    label: str = ""

    @classmethod
    def of(cls, outputs: Iterable[Mapping[str, Any]]) -> ClassReader:
        """Read the registry's `{"name", "datatype", "shape"}` dictionaries."""
        probabilities = label = ""
        for output in outputs:
            shape, kind = output["shape"], output["datatype"]
            if kind.startswith("FP") and len(shape) == 2 and (shape[1] == -1 or 2 <= shape[1] <= MAX_CLASSES):
                probabilities = output["name"]
            elif kind.startswith(("INT", "UINT")) and (len(shape) == 1 or shape[1:] == [1]):
                label = label or output["name"]
        return cls(probabilities, label)

    def read(self, outputs: Tensors) -> tuple[str, float | None]:
        """The class of an answer about one row and the probability that it gives it; nothing where it says none.

        Numbers that do not sum to 1 are no probabilities, so their highest is no class.
        """
        said, confidence = "", None
        if self.probabilities and (found := outputs.get(self.probabilities)) is not None and len(found) == 1:
            row = found[0]
            # Python sums and searches a short list faster than numpy does.
            if row.size <= SHORT:
                values = row.tolist()
                total, top = sum(values), max(values, default=0.0)
            else:
                values = row
                total, top = float(row.sum()), float(row.max())
            if 2 <= row.size <= MAX_CLASSES and abs(total - 1) <= SUM_TOLERANCE:
                said = str(values.index(top) if isinstance(values, list) else int(values.argmax()))
                confidence = min(top, 1.0)
        if self.label and (found := outputs.get(self.label)) is not None and found.size == 1:
            said = str(int(found.reshape(-1)[0]))
        return said, confidence
