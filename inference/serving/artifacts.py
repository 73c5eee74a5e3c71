"""What a model version is loaded from, as the serving path sees it."""

from __future__ import annotations

from typing import Protocol


class ArtifactFile(Protocol):
    """A sealed artifact of the registry, or a plain `pathlib.Path` where a model server stands alone."""

    def read_bytes(self) -> bytes:
        """The whole content. Raises OSError, whose text says why."""
