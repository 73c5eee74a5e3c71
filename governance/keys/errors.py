"""What can go wrong with sealed data, each told apart: altered, out of reach for now, or gone for ever."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from governance.errors import Conflict, DomainError, Unavailable


class Unsealable(Conflict):
    """The bytes cannot be opened as what they are said to be. `code` says what is wrong with them."""

    code = "unsealable"


class NotSealed(Unsealable):
    """The bytes do not begin like sealed data of a version that this release knows."""

    code = "not-sealed"

    def __init__(self) -> None:
        super().__init__(_("This is not sealed data of a known version."))


class Truncated(Unsealable):
    """The end is missing."""

    code = "sealed-truncated"

    def __init__(self) -> None:
        super().__init__(_("The sealed data ends too early."), hint=_("Restore it from a backup."))


class Extended(Unsealable):
    """Something follows the authentic end."""

    code = "sealed-extended"

    def __init__(self) -> None:
        super().__init__(_("Something was added to the sealed data."), hint=_("Restore it from a backup."))


class Altered(Unsealable):
    """A tag does not match: bits were changed, chunks moved, or the bytes belong to another object or tenant."""

    code = "sealed-altered"

    def __init__(self) -> None:
        super().__init__(
            _("The sealed data was altered or cut off, or it belongs to something else."),
            hint=_("Restore it from a backup, and find out who wrote it."),
        )


class WrongPurpose(Unsealable):
    """The data was sealed for another purpose of the same tenant."""

    code = "sealed-for-another-purpose"

    def __init__(self) -> None:
        super().__init__(_("The data was sealed for another purpose."))


class UnknownKey(Unsealable):
    """There is no such data key here; another tenant's key looks the same."""

    code = "sealed-key-unknown"

    def __init__(self) -> None:
        super().__init__(
            _("The key that sealed this data is not known here."),
            hint=_("See that database and files come from the same backup."),
        )


class KeyDestroyed(DomainError):
    """The tenant's keys were destroyed on purpose."""

    status = 410
    code = "key-destroyed"

    def __init__(self) -> None:
        super().__init__(_("The key was destroyed on purpose: this data can never be read again."))


class KeysUnavailable(Unavailable):
    """The place where keys live does not answer; nothing sealed can be read until it does."""

    code = "keys-unavailable"

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            _("The keys are out of reach for the moment, so nothing sealed can be read or written."),
            hint=_("Try again soon; the console's page “Keys” shows what is wrong."),
        )
        self.detail = detail
