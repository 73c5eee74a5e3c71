"""Does each model load, look as declared, and answer, in a confined process with limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from marketplace.catalog.findings import Finding, Severity, gettext_noop, printable
from marketplace.catalog.manifest import ModelSpec
from marketplace.catalog.package import readable_size
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, CheckStatus, judge
from marketplace.review.checks.safetensorsfile import NotSafetensors, read_tensors
from skills.runtime.sandbox import SandboxLimits, SandboxResult, SandboxSpec, run_confined

LIMITS = SandboxLimits(
    wall_s=30.0, cpu_s=30.0, memory_bytes=1 << 30, output_bytes=1 << 20, file_bytes=1 << 20
)

_MESSAGES = {
    "load": gettext_noop("ONNX Runtime cannot load “%(model)s”: %(reason)s"),
    "no-such-input": gettext_noop(
        "“%(model)s” has no input “%(name)s”; it has: %(actual)s. Correct plugin.json."
    ),
    "no-such-output": gettext_noop(
        "“%(model)s” has no output “%(name)s”; it has: %(actual)s. Correct plugin.json."
    ),
    "undeclared-input": gettext_noop("“%(model)s” needs the input “%(name)s”. Declare it in plugin.json."),
    "datatype": gettext_noop(
        "“%(name)s” of “%(model)s” is declared as %(declared)s but is %(actual)s. Correct plugin.json."
    ),
    "shape": gettext_noop(
        "“%(name)s” of “%(model)s” is declared with shape %(declared)s but has %(actual)s. Correct plugin.json."
    ),
    "input-too-large": gettext_noop(
        "The input “%(name)s” of “%(model)s” would take %(mebibytes)s MiB for one prediction. Make it smaller."
    ),
    "predict": gettext_noop("“%(model)s” cannot predict on zeros of the declared shape: %(reason)s"),
    "not-finite": gettext_noop(
        "“%(name)s” of “%(model)s” is not a number or infinite for an input of zeros."
    ),
    "weights-not-finite": gettext_noop(
        "The tensor “%(name)s” of “%(model)s” has values that are no numbers or infinite."
    ),
}
_STILL_RUNNING = gettext_noop(
    "“%(model)s” did not answer within %(seconds)d seconds. Look for a loop without end, or make the model smaller."
)
_MEMORY = gettext_noop(
    "“%(model)s” needs more than %(limit)s of memory. Make the model or its tensors smaller."
)
_CRASHED = gettext_noop(
    "“%(model)s” made ONNX Runtime crash (%(reason)s). Export it again and try it before you upload."
)
_UNAVAILABLE = gettext_noop(
    "The confined process for the dry run did not start on our side. Your plugin was not tried; it will be run again."
)
_UNREADABLE = gettext_noop("“%(model)s” is not a valid safetensors file: %(reason)s. Save it again.")
_WEIGHTS_ONLY = gettext_noop("“%(model)s” holds weights without a graph, so its signature cannot be tried.")


def request(model: ModelSpec, context: CheckContext) -> dict[str, Any]:
    """Return what the confined process has to know about a model; raises NotSafetensors."""
    declaration: dict[str, Any] = {"format": model.format}
    if model.format == "safetensors":
        tensors = read_tensors(context.root / model.artifact)
        declaration["tensors"] = [
            {"name": printable(item.name), "dtype": item.dtype, "begin": item.begin, "end": item.end}
            for item in tensors
        ]
    else:
        declaration["inputs"] = [tensor.as_json() for tensor in model.inputs]
        declaration["outputs"] = [tensor.as_json() for tensor in model.outputs]
    return declaration


def try_model(
    model: ModelSpec, context: CheckContext, limits: SandboxLimits
) -> tuple[list[Finding], SandboxResult]:
    """Run one model in confinement and return the findings and how the run ended."""
    size = (context.root / model.artifact).stat().st_size
    limits = replace(
        limits, memory_bytes=limits.memory_bytes + 3 * size
    )  # the file, its tensors, packed copies
    result = run_confined(
        SandboxSpec(
            entry="model-dry-run",
            bundle=context.root,
            entrypoint=model.artifact,
            payload=request(model, context),
            limits=limits,
            libraries=True,
        )
    )
    return [*_findings(model, result, limits)], result


def _findings(model: ModelSpec, result: SandboxResult, limits: SandboxLimits) -> Iterator[Finding]:
    def refuse(code: str, message: str, **params: Any) -> Finding:
        params["model"] = model.name
        return Finding(f"dry-run.{code}", Severity.CRITICAL, message, params, path=model.artifact)

    if result.status == "timeout":
        yield refuse("timeout", _STILL_RUNNING, seconds=int(min(limits.wall_s, limits.cpu_s)))
    elif result.status == "memory":
        yield refuse("memory", _MEMORY, limit=readable_size(limits.memory_bytes))
    elif result.status == "killed" and result.reason != "SIGKILL":
        yield refuse("crash", _CRASHED, reason=result.reason)
    elif result.status == "ok":
        for problem in result.output["problems"]:
            params = {key: printable(str(value), 240) for key, value in problem["params"].items()}
            yield refuse(problem["code"], _MESSAGES[problem["code"]], **params)
        if model.format == "safetensors":
            yield Finding(
                "dry-run.weights-only",
                Severity.INFO,
                _WEIGHTS_ONLY,
                {"model": model.name},
                path=model.artifact,
            )


def run(context: CheckContext, *, limits: SandboxLimits = LIMITS) -> CheckOutcome:
    """Try every declared model; a sandbox that cannot be had is ERROR, never a pass."""
    findings: list[Finding] = []
    measures: dict[str, Any] = {}
    for model in context.manifest.models:
        try:
            found, result = try_model(model, context, limits)
        except NotSafetensors as error:
            params = {"model": model.name, "reason": str(error)}
            path = model.artifact
            findings.append(Finding("dry-run.load", Severity.CRITICAL, _UNREADABLE, params, path=path))
            continue
        if result.status in ("unavailable", "error") or result.reason == "SIGKILL":
            detail = {"status": result.status, "reason": result.reason, "stderr": result.stderr[-500:]}
            return CheckOutcome(
                CheckStatus.ERROR, tuple(findings), _UNAVAILABLE, measures={model.name: detail}
            )
        findings += found
        measured = result.output["measures"] if result.status == "ok" else {}
        measures[model.name] = {
            "wall_s": round(result.wall_s, 3),
            "max_rss_bytes": result.max_rss_bytes,
            **measured,
        }
    passed = (
        gettext_noop("Every model loads, has the declared signature and answers.")
        if context.manifest.models
        else gettext_noop("The plugin has no model.")
    )
    return judge(findings, passed=passed, **measures)


CHECK = Check(
    name="model-dry-run",
    version="1",
    title=gettext_noop("Model dry run"),
    summary=gettext_noop(
        "Loaded in a confined process: signature as declared, one prediction, time and memory limits."
    ),
    run=partial(run, limits=LIMITS),
)
