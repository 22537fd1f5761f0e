"""URLs that may be fetched, and where a redirect leads. Pure.

URLs are read strictly: what one reader takes for a path and another for a host is how servers are led astray.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit

MAX_URL_CHARS: Final = 8_192
_PORTS: Final = {"http": 80, "https": 443}
_NEVER: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\<>\"\u2028\u2029\ud800-\udfff]")
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_KEPT: Final = "%/:=&?~+!$,;'@()*[]-._"


class BadUrl(ValueError):
    """The URL cannot be fetched, whoever asks; the sentence says why."""


class Target(NamedTuple):
    """One place to fetch from. host: lower case ASCII, an IPv6 address without brackets. path: with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What stands in ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL as it is spoken of: without its query, which may hold a signature."""
        return f"{self.scheme}://{self.authority}{self.path.partition('?')[0]}"

    @property
    def filename(self) -> str:
        """The last segment of the path, decoded; a name to tell types by, never a path."""
        return unquote(self.path.partition("?")[0].rpartition("/")[2])


def read_url(url: str) -> Target:
    """Read a URL. Raises BadUrl for anything but http and https without credentials, on a host that is written plainly."""
    if len(url) > MAX_URL_CHARS:
        raise BadUrl(f"A URL has at most {MAX_URL_CHARS} characters")
    if _NEVER.search(url):
        raise BadUrl("A URL holds no spaces, control characters or backslashes; they are percent-encoded")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise BadUrl(f"This is no URL: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise BadUrl("A URL begins with https:// or http://")
    if "@" in parts.netloc:
        raise BadUrl("A URL may not hold a user name or password")
    if not host:
        raise BadUrl("The URL names no host")
    if port == 0 or parts.netloc.endswith(":"):
        raise BadUrl("The port of the URL must be a number from 1 to 65535")
    path = quote(parts.path or "/", safe=_KEPT) + (f"?{quote(parts.query, safe=_KEPT)}" if parts.query else "")
    return Target(scheme, _host(host, is_bracketed="[" in parts.netloc), port or _PORTS[scheme], path)


def _host(host: str, *, is_bracketed: bool) -> str:
    if is_bracketed:
        try:
            address = IPv6Address(host)
        except AddressValueError:
            raise BadUrl("The host in brackets is no IPv6 address") from None
        if address.scope_id is not None:
            raise BadUrl("An address in a URL has no zone")
        return str(address)
    try:
        ascii_host = host.encode("idna").decode("ascii").lower()  # takes full-width digits and dots for what they mean
    except UnicodeError:
        raise BadUrl("The URL's host is no host name") from None
    name = ascii_host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadUrl("The URL's host is no host name")
    if _NUMBER.fullmatch(labels[-1]):  # by the URL standard an IPv4 address, in however odd a notation
        try:
            return str(IPv4Address(name))
        except AddressValueError:
            raise BadUrl("An IPv4 address in a URL has four decimal numbers without leading zeros") from None
    return name


def redirected(target: Target, location: str) -> Target:
    """Where ``Location`` of an answer from ``target`` leads. Raises BadUrl."""
    if _NEVER.search(location) or len(location) > MAX_URL_CHARS:
        raise BadUrl("The redirect's address is no URL")
    try:
        return read_url(urljoin(f"{target.scheme}://{target.authority}{target.path}", location))
    except BadUrl:
        raise
    except ValueError as error:
        raise BadUrl(f"This is no URL: {error}") from None
