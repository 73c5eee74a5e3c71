"""Every address of the hot route, as data: what `InferenceApplication` answers, for documents and generated tests.

The application tells them apart by hand, because that is quickest; a test holds the two against each other.
"""

from __future__ import annotations

from typing import NamedTuple

READ = ("GET", "HEAD")
ACT = ("POST",)


class Address(NamedTuple):
    """Methods and path. `{endpoint}` and `{version}` stand for names; `anonymous` needs no token."""

    methods: tuple[str, ...]
    path: str
    anonymous: bool = False

    @property
    def names_something(self) -> bool:
        """Whether it is about one endpoint."""
        return "{endpoint}" in self.path

    def of(self, endpoint: str, version: str = "") -> str:
        """The path for these names."""
        return self.path.format(endpoint=endpoint, version=version)


_ENDPOINT = "/v2/models/{endpoint}"
_VERSION = "/v2/models/{endpoint}/versions/{version}"
ADDRESSES = (
    Address(READ, "/v2", anonymous=True),
    Address(READ, "/v2/health/live", anonymous=True),
    Address(READ, "/v2/health/ready", anonymous=True),
    Address(READ, "/v2/models/stats"),
    Address(ACT, "/v2/repository/index"),
    *(Address(ACT, f"/v2/repository/models/{{endpoint}}/{action}") for action in ("load", "unload")),
    *(Address(ACT, f"{thing}/infer") for thing in (_ENDPOINT, _VERSION)),
    *(
        Address(READ, f"{thing}{part}")
        for thing in (_ENDPOINT, _VERSION)
        for part in ("", "/ready", "/config", "/stats")
    ),
)
