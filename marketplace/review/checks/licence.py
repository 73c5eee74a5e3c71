"""Is the licence a known one, and its text in the package where it has to be."""

from __future__ import annotations

import re
from collections.abc import Iterator

from marketplace.catalog.findings import Finding, Severity, gettext_noop
from marketplace.catalog.manifest import MANIFEST_NAME
from marketplace.catalog.manifest_rules import license_symbols
from marketplace.review.checks.base import Check, CheckContext, CheckOutcome, judge

_FILE = re.compile(r"(licen[cs]e|copying|notice)([._-].*)?", re.IGNORECASE)
# Licences that a company has to think about before it runs or changes the code.
_TO_BE_READ = re.compile(
    r"^(AGPL|SSPL|BUSL|CC-BY-NC|CC-BY-ND|Elastic|JSON$|.*-NC-|LicenseRef-)", re.IGNORECASE
)


def problems(expression: str, paths: list[str]) -> Iterator[Finding]:
    """Yield what a reviewer or the publisher has to know about the SPDX `expression` and the files present."""
    symbols = license_symbols(expression)
    has_text = any(_FILE.fullmatch(path.split("/")[-1]) for path in paths)
    own = [symbol for symbol in symbols if symbol.startswith("LicenseRef-")]
    if own and not has_text:
        message = gettext_noop(
            "“%(license)s” is your own licence, but its text is not in the package. Add a LICENSE file."
        )
        yield Finding(
            "licence.text-missing", Severity.CRITICAL, message, {"license": own[0]}, path=MANIFEST_NAME
        )
    for symbol in symbols:
        if _TO_BE_READ.search(symbol):
            message = gettext_noop(
                "“%(license)s” limits how the plugin may be used; a reviewer has to read it."
            )
            yield Finding(
                "licence.restrictive", Severity.WARN, message, {"license": symbol}, path=MANIFEST_NAME
            )
    if not has_text and not own:
        message = gettext_noop(
            "The package has no LICENSE file. Adding one makes the terms clear to whoever installs it."
        )
        yield Finding("licence.no-file", Severity.INFO, message, path=MANIFEST_NAME)


def run(context: CheckContext) -> CheckOutcome:
    """Judge the manifest's licence and look for its text."""
    expression = context.manifest.license
    return judge(
        problems(expression, [path for path, _ in context.files()]),
        passed=gettext_noop("The licence is known."),
        licence=expression,
    )


CHECK = Check(
    name="licence",
    version="1",
    title=gettext_noop("Licence"),
    summary=gettext_noop("A valid SPDX expression, with the text where the licence is your own."),
    run=run,
)
