"""Where a request comes from, as far as that can be believed, and which program sent it.

Both are kept as keyed digests only: enough to notice a change, nothing to follow a person with.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

MAX_USER_AGENT = 512
# A browser that updated itself is the same browser.
_VERSIONS = re.compile(r"[\d._]+")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(remote: str, forwarded_for: str) -> str:
    """The address of the client.

    `X-Forwarded-For` is read only where the connection comes from one of `TRUSTED_PROXIES`, from the right, up to the
    first address that is none of them. Anybody can write what stands further left.
    """
    if not forwarded_for or not _trusted(remote):
        return remote
    for hop in reversed(forwarded_for.split(",")):
        address = hop.strip().strip("[]")
        if not _is_address(address):
            return remote
        if not _trusted(address):
            return address
    return remote


def request_address(request: HttpRequest) -> str:
    """The client's address of a Django request; empty where there is no connection."""
    return client_address(
        str(request.META.get("REMOTE_ADDR", "")), str(request.META.get("HTTP_X_FORWARDED_FOR", ""))
    )


def network_digest(address: str) -> str:
    """A keyed digest of the network: /24 of IPv4, /64 of IPv6. Empty for what is no address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    prefix = 24 if found.version == 4 else 64
    return _digest("openclaw.network", str(ipaddress.ip_network(f"{found}/{prefix}", strict=False)))


def client_digest(user_agent: str) -> str:
    """A keyed digest of the User-Agent without version numbers."""
    plain = " ".join(_VERSIONS.sub(" ", user_agent[:MAX_USER_AGENT].lower()).split())
    return _digest("openclaw.client", plain)


def _digest(salt: str, value: str) -> str:
    return salted_hmac(salt, value, algorithm="sha256").hexdigest()[:32]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _trusted(address: str) -> bool:
    proxies = _proxies(tuple(settings.TRUSTED_PROXIES))
    if not proxies or not _is_address(address):
        return False
    found = ipaddress.ip_address(address)
    return any(found in network for network in proxies if network.version == found.version)


@lru_cache(maxsize=8)
def _proxies(names: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(name, strict=False) for name in names)
