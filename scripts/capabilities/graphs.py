"""ONNX graphs over text with their preprocessing inside: what goes in is UTF-8, as a caller has it.

A text is cut to its first 2,000 characters, ASCII letters become lower case, a mark is put in front, and n-grams of
its characters are counted. Everything after that is arithmetic. Standard operators, and ONNX Runtime's own `Tokenizer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]

MOST_CHARACTERS = 2_000
MARK = "\x02"  # before the first character, so that an n-gram can say that it is the beginning
# Anchored, so that a text of any length is read once up to there. RE2 counts to 1,000 at most.
_FIRST = rf"(?s)\A.{{1,1000}}.{{0,{MOST_CHARACTERS - 1000}}}"
_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
LONGEST_GRAM = 4
OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]


def grams(text: str) -> list[str]:
    """The n-grams (1 to 4 characters) that the graph counts in a text, in the same manner."""
    whole = (MARK + text.translate(_LOWER))[:MOST_CHARACTERS]
    return [whole[i : i + n] for n in range(1, LONGEST_GRAM + 1) for i in range(len(whole) - n + 1)]


class TextGraph:
    """A graph under construction: `features` gives the counted, damped, normalised n-grams; then add what follows."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        by_length = [[gram for gram in vocabulary if len(gram) == n] for n in range(1, LONGEST_GRAM + 1)]
        starts = np.cumsum([0, *(len(part) * n for n, part in enumerate(by_length, start=1))])[:-1]
        # The columns are in the vocabulary's order, whatever the order of the pool.
        columns = {gram: column for column, gram in enumerate(vocabulary)}
        self._strings("mark", [MARK])
        self.add(
            "StringNormalizer", ["text"], "lower", case_change_action="LOWER", locale="C", is_case_sensitive=0
        )
        self.add("StringConcat", ["mark", "lower"], "marked")
        self._tokens("marked", "first", _FIRST)
        self._tokens("first", "split", "(?s).")
        self.constant("flat", np.array([0, -1], dtype=np.int64))
        self.add("Reshape", ["split", "flat"], "characters")
        self.add(
            "TfIdfVectorizer",
            ["characters"],
            "counts",
            mode="TF",
            min_gram_length=1,
            max_gram_length=LONGEST_GRAM,
            max_skip_count=0,
            ngram_counts=[int(start) for start in starts],
            ngram_indexes=[columns[gram] for part in by_length for gram in part],
            pool_strings=[character for part in by_length for gram in part for character in gram],
        )
        self.constant("one", np.array(1, dtype=np.float32))
        self.add("Add", ["counts", "one"], "counts1")
        self.add("Log", ["counts1"], "damped")

    def constant(self, name: str, value: Array) -> str:
        """A constant of the graph."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node with one output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def quantised(self, name: str, weights: Array) -> str:
        """A matrix [n, m] kept as int8 with a scale per column: a quarter of the size."""
        scale = np.maximum(np.abs(weights).max(axis=0), 1e-12).astype(np.float32) / 127
        self.constant(f"{name}_int8", np.round(weights / scale).astype(np.int8))
        self.constant(f"{name}_scale", scale)
        return self.add("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], name, axis=1)

    def normalised(self, source: str, output: str) -> str:
        """Rows of length one; a row of zeros stays as it is."""
        self.constant(f"{output}_axis", np.array([1], dtype=np.int64))
        self.constant(f"{output}_least", np.array(1e-9, dtype=np.float32))
        self.add("ReduceL2", [source, f"{output}_axis"], f"{output}_length", keepdims=1)
        self.add("Max", [f"{output}_length", f"{output}_least"], f"{output}_divisor")
        return self.add("Div", [source, f"{output}_divisor"], output)

    def classes(self, weights: Array, bias: Array, labels: Sequence[str]) -> None:
        """Scores → `probabilities` [rows, labels] and the likeliest `label` [rows]."""
        self.normalised("damped", "features")
        self.quantised("weights", weights)
        self.constant("bias", bias.astype(np.float32))
        self.add("MatMul", ["features", "weights"], "product")
        self.add("Add", ["product", "bias"], "scores")
        self.add("Softmax", ["scores"], "probabilities", axis=1)
        self.add("ArgMax", ["probabilities"], "best", axis=1, keepdims=0)
        self._strings("labels", labels)
        self.add("Gather", ["labels", "best"], "label")

    def model(self, outputs: Sequence[tuple[str, int, list[int | str]]]) -> bytes:
        """The finished graph: `text` [rows] → outputs of (name, type, shape)."""
        graph = helper.make_graph(
            self.nodes,
            "text",
            [helper.make_tensor_value_info("text", TensorProto.STRING, ["rows"])],
            [helper.make_tensor_value_info(*output) for output in outputs],
            self.constants,
        )
        made: bytes = helper.make_model(graph, opset_imports=OPSETS, ir_version=9).SerializeToString()
        return made

    def _tokens(self, source: str, output: str, expression: str) -> None:
        self.add(
            "Tokenizer", [source], output,
            domain="com.microsoft", mark=0, mincharnum=1, pad_value="", tokenexp=expression,
        )  # fmt: skip

    def _strings(self, name: str, values: Sequence[str]) -> None:
        self.constant(name, np.array(list(values), dtype=object))
