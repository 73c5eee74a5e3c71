"""Rules for file names inside a package: one meaning on every system, and no two that read alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from marketplace.catalog.findings import Finding, Severity, gettext_noop, printable

MAX_NAME_BYTES = 400
MAX_COMPONENT_BYTES = 200
MAX_DEPTH = 12

# Letters of other scripts that are drawn like Latin ones (the common part of Unicode's confusables list).
_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u051b\u051d\u04cf\u043a\u043c\u0442\u043d\u0432"
    "\u03bf\u03b1\u03bd\u03c1\u03b9\u03ba\u03c4\u03c5\u03c7\u0578\u057d\u0570",
    "aeopcyxijsdqwlkmthboavpiktuxnuh",
)
_FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_WINDOWS_DEVICES = re.compile(r"^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$", re.IGNORECASE)
_MIXED_SCRIPTS = {"CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE"}


def lookalike_key(path: str) -> str:
    """Return the same key for names that differ only in case, in Unicode form or in letters drawn alike."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())
    return folded.translate(_LOOKALIKES)


def name_problems(path: str) -> Iterator[Finding]:
    """Yield what is wrong with `path`, a file name as the archive gives it (without the slash of a folder)."""

    def refuse(code: str, message: str) -> Finding:
        shown = printable(path)
        return Finding(f"archive.{code}", Severity.CRITICAL, message, {"name": shown}, path=shown)

    if not path:
        yield refuse(
            "empty-name", gettext_noop("The archive has an entry without a name. Pack the plugin again.")
        )
        return
    if path.startswith("/") or re.match(r"^[A-Za-z]:", path):
        yield refuse(
            "absolute-path",
            gettext_noop("“%(name)s” is an absolute path. Use paths relative to the plugin's folder."),
        )
    if "\\" in path:
        yield refuse(
            "backslash",
            gettext_noop("“%(name)s” has a backslash. Use “/” between folders and rename the file."),
        )
    if any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in path):
        yield refuse(
            "hidden-character",
            gettext_noop("“%(name)s” has a control, invisible or text-direction character. Rename the file."),
        )
    parts = path.lstrip("/").split("/")
    if ".." in parts:
        yield refuse(
            "traversal",
            gettext_noop("“%(name)s” points outside the plugin's folder. Remove “..” from the path."),
        )
    elif any(part in ("", ".") for part in parts):
        yield refuse("odd-path", gettext_noop("“%(name)s” has an empty or “.” part. Pack the plugin again."))
    if any(part.endswith((" ", ".")) or part.startswith(" ") for part in parts if part not in (".", "..")):
        yield refuse(
            "odd-ending", gettext_noop("“%(name)s” has a part that ends in a space or dot. Rename the file.")
        )
    if any(_WINDOWS_DEVICES.match(part) for part in parts) or (
        ":" in path and not re.match(r"^[A-Za-z]:", path)
    ):
        yield refuse(
            "reserved-name", gettext_noop("“%(name)s” is a reserved name on Windows. Rename the file.")
        )
    if len(_encoded(path)) > MAX_NAME_BYTES or any(
        len(_encoded(part)) > MAX_COMPONENT_BYTES for part in parts
    ):
        yield refuse("long-name", gettext_noop("“%(name)s” is too long. Use shorter file and folder names."))
    if len(parts) > MAX_DEPTH:
        yield refuse("deep-path", gettext_noop("“%(name)s” is nested too deeply. Use fewer folders."))
    if any(_mixes_scripts(part) for part in parts):
        yield refuse(
            "look-alike",
            gettext_noop(
                "“%(name)s” mixes letters of different alphabets that look the same. Rename the file."
            ),
        )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _mixes_scripts(part: str) -> bool:
    scripts = {unicodedata.name(char, "?").split(" ")[0] for char in part if char.isalpha()}
    return "LATIN" in scripts and bool(scripts & _MIXED_SCRIPTS)
