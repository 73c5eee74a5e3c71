"""Asking a company's identity provider over HTTP without being led into the house's own network.

An administrator of a tenant writes the address, so it is treated like any input: https only, no redirects, short
answers in short time, and the address that the connection really has must be a public one. It is looked at after
connecting and before the first byte is sent, so a name that changes its mind (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from django.conf import settings
from django.utils.translation import gettext as _
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.poolmanager import PoolManager

from governance.errors import InvalidInput

TIMEOUT_S = (3.0, 5.0)  # to connect, between two parts of an answer
MAX_ANSWER_BYTES = 512 * 1024


class Refused(requests.RequestException):
    """The address may not be asked, or its answer is not one that is taken."""


def site_is_local() -> bool:
    """Whether the site itself is for this machine only: then its providers may be here, too."""
    return _is_loopback(urlsplit(settings.PUBLIC_URL).hostname or "")


def check_address(url: str) -> None:
    """Raise InvalidInput for an address that would never be asked."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname and not parts.username:
        return
    if parts.scheme == "http" and site_is_local() and _is_loopback(parts.hostname or ""):
        return
    raise InvalidInput(
        _("The address %(url)s cannot be used.") % {"url": url[:200]},
        hint=_("Write an https address without a user name."),
    )


class GuardedSession(requests.Session):
    """A `requests` session for one provider; `internal` lets its addresses be private ones."""

    def __init__(self, *, internal: bool) -> None:
        super().__init__()
        self.trust_env = False
        self.max_redirects = 0
        adapter = _GuardedAdapter(internal=internal)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """One question. Raises Refused, or any other RequestException."""
        try:
            check_address(request.url or "")
        except InvalidInput as error:
            raise Refused(str(error.message)) from error
        kwargs |= {"timeout": TIMEOUT_S, "allow_redirects": False, "stream": True}
        response = super().send(request, **kwargs)
        try:
            if response.is_redirect:
                raise Refused("the provider answered with a redirect")
            body = response.raw.read(MAX_ANSWER_BYTES + 1, decode_content=True)
        except HTTPError as error:
            raise Refused("the provider's answer broke off") from error
        finally:
            response.close()
        if len(body) > MAX_ANSWER_BYTES:
            raise Refused("the provider's answer is too long")
        response._content, response._content_consumed = body, True
        return response


class _GuardedAdapter(HTTPAdapter):
    def __init__(self, *, internal: bool) -> None:
        self._internal = internal
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        manager: PoolManager = self.poolmanager
        manager.pool_classes_by_scheme = _pools(self._internal)


def _pools(internal: bool) -> dict[str, Any]:
    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), internal)

    class Secure(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _checked(super()._new_conn(), internal)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _checked(connection: socket.socket, internal: bool) -> socket.socket:
    address = str(connection.getpeername()[0])
    if not allowed(address, internal=internal):
        connection.close()
        raise Refused("the provider's address is not a public one")
    return connection


def allowed(address: str, *, internal: bool) -> bool:
    """Whether a connection to this IP address may be used."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return site_is_local()
    # Link-local addresses are where clouds keep the credentials of their machines.
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    return found.is_global or (internal and found.is_private)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
