"""Are the models in a format that only holds numbers and a graph, and is nothing in the package code in disguise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from marketplace.catalog.findings import Finding, Severity, gettext_noop, printable
from marketplace.catalog.manifest import ModelSpec
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge
from marketplace.review.checks.contents import KINDS, dangerous_kind
from marketplace.review.checks.onnxfile import NotONNX, read_structure
from marketplace.review.checks.safetensorsfile import NotSafetensors, read_tensors

# Domains whose operators are part of every ONNX Runtime; all others would need a library of the publisher's.
_BUILT_IN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def disguise(path: str, file: Path) -> Iterator[Finding]:
    """Yield a finding if the bytes of a file are a format that runs code when it is opened."""
    kind = dangerous_kind(file)
    if kind:
        message = gettext_noop(
            "“%(file)s” is %(kind)s, which can run code when it is opened. Export the model as ONNX or safetensors "
            "and remove this file."
        )
        params = {"file": path, "kind": KINDS[kind]}
        yield Finding(f"artifact.{kind}", Severity.CRITICAL, message, params, path=path)


def onnx_problems(path: str, file: Path) -> Iterator[Finding]:
    """Yield what keeps an ONNX file from being loaded: not ONNX, data outside of it, operators of its own."""

    def refuse(code: str, message: str, **params: str) -> Finding:
        return Finding(f"artifact.{code}", Severity.CRITICAL, message, {"file": path, **params}, path=path)

    try:
        structure = read_structure(file)
    except NotONNX as error:
        message = gettext_noop("“%(file)s” is not an ONNX model: %(reason)s. Export it again.")
        yield refuse("not-onnx", message, reason=str(error))
        return
    if structure.external:
        message = gettext_noop(
            "“%(file)s” keeps data outside of itself, in “%(location)s”. Save the model with all data in one file."
        )
        yield refuse("external-data", message, location=printable(structure.external[0]) or "?")
    if structure.has_training:
        message = gettext_noop("“%(file)s” has training information. Export it for inference only.")
        yield refuse("training-info", message)
    foreign = sorted(
        {
            f"{domain}.{operator}"
            for domain, operator in structure.operators - structure.functions
            if domain not in _BUILT_IN_DOMAINS
        }
    )
    if foreign:
        message = gettext_noop(
            "“%(file)s” uses operators that ONNX Runtime does not have: %(operators)s. Export it with standard "
            "operators only."
        )
        yield refuse("custom-operator", message, operators=printable(", ".join(foreign[:5])))


def safetensors_problems(path: str, file: Path) -> Iterator[Finding]:
    """Yield what is wrong with the header of a safetensors file."""
    try:
        read_tensors(file)
    except NotSafetensors as error:
        message = gettext_noop("“%(file)s” is not a valid safetensors file: %(reason)s. Save it again.")
        params = {"file": path, "reason": str(error)}
        yield Finding("artifact.not-safetensors", Severity.CRITICAL, message, params, path=path)


_FORMATS = {"onnx": onnx_problems, "safetensors": safetensors_problems}


def model_problems(model: ModelSpec, root: Path) -> Iterator[Finding]:
    """Yield what is wrong with the artifact of one declared model."""
    yield from _FORMATS[model.format](model.artifact, root / model.artifact)


def run(context: CheckContext) -> CheckOutcome:
    """Look at the bytes of every file, then at the structure of every declared model."""
    findings = [finding for path, file in context.files() for finding in disguise(path, file)]
    refused = {finding.path for finding in findings}
    for model in context.manifest.models:
        if model.artifact not in refused:
            findings += model_problems(model, context.root)
    return judge(
        findings,
        passed=gettext_noop("The models are in formats that hold no code."),
        models=len(context.manifest.models),
    )


CHECK = Check(
    name="artifact-format",
    version="1",
    title=gettext_noop("Artifact format"),
    summary=gettext_noop("Models are ONNX or safetensors by content; no pickles or programs in disguise."),
    run=run,
)
