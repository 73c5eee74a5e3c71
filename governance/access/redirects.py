"""Where an application sends people back to after they have allowed it to act for them: https only."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from governance.access.scopes import OF_PEOPLE
from governance.errors import InvalidInput


def checked_redirects(addresses: Iterable[str]) -> list[str]:
    """The addresses, each once. Raises InvalidInput for one that is not absolute https without fragment or user."""
    found = list(dict.fromkeys(address.strip() for address in addresses if address.strip()))
    for address in found:
        try:
            parts = urlsplit(address)
            good = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or "#" in address or "@" in parts.netloc or any(c.isspace() for c in address):
            raise InvalidInput(
                _("“%(address)s” is no address that people can be sent back to.")
                % {"address": address[:200]},
                hint=_("Write it as https://app.example.com/callback, without a fragment."),
            )
    return found


def check_personal_scopes(scopes: Iterable[str], addresses: Iterable[str]) -> None:
    """Raise InvalidInput for scopes that only people can give away, where nobody could authorise the application."""
    if not list(addresses) and (personal := OF_PEOPLE.intersection(scopes)):
        raise InvalidInput(
            _("Only an application that people authorise can have these scopes: %(scopes)s.")
            % {"scopes": ", ".join(sorted(personal))},
            hint=_("Give it an address to return to, so that people can authorise it."),
        )
