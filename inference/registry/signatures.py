"""The signature that a version declares: its tensors, in the datatypes of the Open Inference Protocol v2."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _

from governance.errors import InvalidInput

DATATYPES = frozenset(
    {"BOOL", "BYTES", "FP16", "FP32", "FP64", *(f"{u}INT{n}" for u in ("", "U") for n in (8, 16, 32, 64))}
)
MAX_TENSORS = 64
MAX_RANK = 8


def checked_tensors(tensors: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The tensors with exactly `name`, `datatype` and `shape`. Raises InvalidInput that names the first mistake."""
    if not 1 <= len(tensors) <= MAX_TENSORS:
        raise InvalidInput(
            _("A version declares 1 to %(most)d %(kind)s.") % {"most": MAX_TENSORS, "kind": kind}
        )
    checked: list[dict[str, Any]] = []
    for tensor in tensors:
        name, datatype, shape = tensor.get("name"), tensor.get("datatype"), tensor.get("shape")
        if not isinstance(name, str) or not 1 <= len(name) <= 200 or name in {t["name"] for t in checked}:
            raise InvalidInput(_("Each of the %(kind)s needs a name of its own.") % {"kind": kind})
        if datatype not in DATATYPES:
            raise InvalidInput(
                _("“%(name)s” has the unknown datatype %(datatype)s.") % {"name": name, "datatype": datatype},
                hint=_("Known: %(known)s.") % {"known": ", ".join(sorted(DATATYPES))},
            )
        if (
            not isinstance(shape, list)
            or not 1 <= len(shape) <= MAX_RANK
            or not all(type(size) is int and (size == -1 or size > 0) for size in shape)
        ):
            raise InvalidInput(
                _("The shape of “%(name)s” must be a list of 1 to %(most)d positive numbers or -1.")
                % {"name": name, "most": MAX_RANK}
            )
        checked.append({"name": name, "datatype": datatype, "shape": shape})
    return checked
