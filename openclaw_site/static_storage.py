"""Static files under names that carry their content's digest, compressed once when they are collected."""

from __future__ import annotations

from typing import Any

from whitenoise.compress import Compressor
from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticStorage(CompressedManifestStaticFilesStorage):
    """Whitenoise's storage with gzip alone: brotli at its highest level makes the first start half a minute longer."""

    def create_compressor(self, **kwargs: Any) -> Compressor:
        """The compressor of `collectstatic`."""
        return Compressor(use_brotli=False, **kwargs)
