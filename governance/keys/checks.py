"""System checks of the key settings, so that a mistake is told at the start and not at the first sealed file."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register


@register(Tags.security)
def check_token_settings(**kwargs: Any) -> list[CheckMessage]:
    """The vendor's library and the PIN's file are there, and nobody else can read the PIN.

    A token that is away is no error here: it may come back, and the site says so meanwhile.
    """
    token = settings.OPENCLAW_PKCS11
    if token is None:
        return []
    found: list[CheckMessage] = []
    if not Path(token["module"]).is_file():
        found.append(
            Error(
                "OPENCLAW_PKCS11_MODULE names a file that is not there.",
                hint="Install the vendor's PKCS#11 library, or softhsm2, and give the path of its .so file.",
                id="keys.E001",
            )
        )
    try:
        mode = Path(token["pin_file"]).stat().st_mode
    except OSError:
        found.append(
            Error(
                "OPENCLAW_PKCS11_PIN_FILE names a file that cannot be read.",
                hint="Write the PIN into a file of mode 0600 that belongs to the site's account.",
                id="keys.E002",
            )
        )
    else:
        if stat.S_IMODE(mode) & 0o077:
            found.append(
                Error(
                    "The file of the token's PIN can be read by other accounts.",
                    hint="chmod 600 the file that OPENCLAW_PKCS11_PIN_FILE names.",
                    id="keys.E003",
                )
            )
    if settings.OPENCLAW_KEY_PROVIDER != "pkcs11":
        found.append(
            Warning(
                "A PKCS#11 token is configured, but new keys are made as files.",
                hint="Set OPENCLAW_KEY_PROVIDER=pkcs11, or take the token's settings out when nothing needs it.",
                id="keys.W001",
            )
        )
    return found
