"""What a caller brings, as a row of the model: a text as it is, a picture brought to the model's size.

The picture's way is part of the version (its card says it): decoded, made grey (ITU-R 601-2), brought to the size.
"""

from __future__ import annotations

import base64
import binascii
import io
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from PIL import Image, UnidentifiedImageError

from governance.errors import InvalidInput
from inference.capabilities.catalogue import Capability

MOST_CHARACTERS = 100_000
MOST_IMAGE_BYTES = 3 * 1024 * 1024
# A small file can say that it is a huge picture.
MOST_PIXELS = 16_000_000
FORMATS = ("PNG", "JPEG")
_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,  # what Pillow raises on a broken PNG
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def text_row(text: str) -> Any:
    """A row of a model that takes text. Raises InvalidInput."""
    if not text.strip():
        raise InvalidInput(_("There is no text."))
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(
            _("The text has %(length)d characters; at most %(most)d are taken.")
            % {"length": len(text), "most": MOST_CHARACTERS},
            hint=_("Send it in parts."),
        )
    return text


def image_row(raw: bytes, capability: Capability) -> tuple[Any, tuple[int, int]]:
    """A row of a model that takes grey pictures, and the picture's own width and height. Raises InvalidInput."""
    if len(raw) > MOST_IMAGE_BYTES:
        raise InvalidInput(
            _("The picture has %(size)d bytes; at most %(most)d are taken.")
            % {"size": len(raw), "most": MOST_IMAGE_BYTES}
        )
    try:
        with Image.open(io.BytesIO(raw), formats=FORMATS) as opened:
            size = opened.size
            if size[0] * size[1] > MOST_PIXELS:
                raise InvalidInput(
                    _("The picture has %(pixels)d pixels; at most %(most)d are taken.")
                    % {"pixels": size[0] * size[1], "most": MOST_PIXELS}
                )
            grey = _grey(opened).resize((capability.size, capability.size), Image.Resampling.BILINEAR)
    except InvalidInput:
        raise
    except _UNREADABLE as error:
        raise InvalidInput(
            _("That is no picture that can be read."), hint=_("Send a PNG or JPEG file.")
        ) from error
    return np.asarray(grey).tolist(), size


def _grey(picture: Image.Image) -> Image.Image:
    """In 8 bits. Pillow cuts 16 bits off at 255, which would leave white."""
    if picture.mode.startswith("I"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return picture.convert("L")


def decoded(text: str) -> bytes:
    """A picture out of Base64. Raises InvalidInput."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput(_("The picture is not written in Base64.")) from error
