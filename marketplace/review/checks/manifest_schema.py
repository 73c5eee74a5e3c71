"""Is plugin.json valid, and are the files it names there."""

from __future__ import annotations

from marketplace.catalog.findings import gettext_noop
from marketplace.catalog.manifest import ManifestError
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge


def run(context: CheckContext) -> CheckOutcome:
    """Parse the manifest; its refusal is this check's own result."""
    passed = gettext_noop("The manifest is valid.")
    try:
        manifest = context.manifest
    except ManifestError as error:
        return judge(error.findings, passed=passed)
    return judge(
        manifest.notes,
        passed=passed,
        models=len(manifest.models),
        skills=len(manifest.skills),
        grants=list(manifest.permissions.grants()),
        risk=str(manifest.risk().level),
    )


CHECK = Check(
    name="manifest-schema",
    version="1",
    title=gettext_noop("Manifest"),
    summary=gettext_noop("plugin.json follows Agent Plugins 1.0.0 and the dev.openclaw extension."),
    run=run,
)
