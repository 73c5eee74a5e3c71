"""Why a token is not accepted, and the challenges that say so (RFC 6750, RFC 9449, RFC 9470)."""

from __future__ import annotations

import re

from governance.decision import StepUp
from governance.principals import Principal

REALM = "OpenClaw"
ALGORITHMS = ("ES256", "EdDSA")
ACR = "urn:openclaw:aal:"
_UNQUOTABLE = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


class TokenRefused(Exception):
    """A token or its proof is not accepted. `code` is the OAuth error; `status` the HTTP status of the answer.

    `scheme` is how the token came (`Bearer` or `DPoP`). `principal` is whose token it was, where that is known.
    `nonce` is what the next proof must carry.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 401,
        scheme: str = "DPoP",
        principal: Principal | None = None,
        nonce: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.scheme = scheme
        self.principal = principal
        self.nonce = nonce

    @property
    def challenge(self) -> str:
        """The value of WWW-Authenticate."""
        return challenge(self.scheme, error=self.code, error_description=self.message)


def challenge(scheme: str = "", **parameters: str) -> str:
    """The value of WWW-Authenticate: the scheme that was used with what was wrong, or what there is to choose from."""
    if not scheme:
        return f'Bearer realm="{REALM}", DPoP realm="{REALM}", algs="{" ".join(ALGORITHMS)}"'
    if scheme == "DPoP":
        parameters |= {"algs": " ".join(ALGORITHMS)}
    told = "".join(f', {name}="{_quotable(value)}"' for name, value in parameters.items())
    return f'{scheme} realm="{REALM}"{told}'


def step_up_challenge(step_up: StepUp, *, scheme: str = "Bearer", message: str = "") -> str:
    """RFC 9470: the same request will be answered once the identity is proven at this level, this recently."""
    parameters = {"error": "insufficient_user_authentication"}
    if message:
        parameters["error_description"] = message
    if step_up.level:
        parameters["acr_values"] = acr_of(step_up.level)
    if step_up.max_age_s:
        parameters["max_age"] = str(step_up.max_age_s)
    return challenge(scheme, **parameters)


def acr_of(level: int) -> str:
    """The authentication context class of an assurance level."""
    return f"{ACR}{level}"


def level_of(acr_values: str) -> int | None:
    """The assurance level of the first value that is known here; None when none is."""
    for value in acr_values.split():
        level = value.removeprefix(ACR)
        if value.startswith(ACR) and level in ("1", "2", "3"):
            return int(level)
    return None


def _quotable(text: str) -> str:
    return _UNQUOTABLE.sub("", text)
