"""What a client is set up with, read and checked once, when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal
from urllib.parse import urlsplit

from ._exceptions import ConfigurationError

DEFAULT_BASE_URL: Final = "http://127.0.0.1:8080"


class _NoKey(Enum):
    NO_KEY = "no key"

    def __repr__(self) -> str:
        return "NO_KEY"


NO_KEY: Final = _NoKey.NO_KEY
"""Given as ``api_key``: send none. For an owner's local socket and for ``amends serve --no-auth``, which ask for none."""

ApiKey = str | Literal[_NoKey.NO_KEY] | None


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A credential, masked wherever it is shown."""

    _value: str

    def reveal(self) -> str:
        """Return it as it is, for the wire."""
        return self._value

    def __repr__(self) -> str:
        # The prefix says which kind of key it is and is no secret.
        kind = next((prefix for prefix in ("ak_live_", "ak_test_") if self._value.startswith(prefix)), "")
        return f"'{kind}***'"

    __str__ = __repr__


def resolve_api_key(given: ApiKey, environ: Mapping[str, str]) -> Secret | None:
    """Return the key to send, None for ``NO_KEY``.

    Raises ConfigurationError where none was given nor set in ``AMENDS_API_KEY``, or where it cannot stand in a header.
    """
    if given is NO_KEY:
        return None
    key = given if given is not None else environ.get("AMENDS_API_KEY", "")
    if not key:
        raise ConfigurationError("No API key: give api_key=… to the client or set AMENDS_API_KEY.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigurationError("The API key holds characters that no key has: check api_key=… or AMENDS_API_KEY.")
    return Secret(key)


def resolve_base_url(given: str | None, environ: Mapping[str, str]) -> str:
    """Return the base URL without a closing slash: as given, else ``AMENDS_BASE_URL``, else this machine's port 8080.

    Raises ConfigurationError for one that is malformed.
    """
    text = given if given is not None else environ.get("AMENDS_BASE_URL") or DEFAULT_BASE_URL
    try:
        parts = urlsplit(text)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except (ValueError, AttributeError, TypeError):  # a port out of range, brackets unbalanced; not a string at all
        is_right = False
        parts = urlsplit("")
    if not is_right or not text.isascii() or not text.isprintable() or any(mark in text for mark in ' "<>\\'):
        raise ConfigurationError(f"The base URL is malformed: {_shown(text)} (such as {DEFAULT_BASE_URL}).")
    if parts.username or parts.password or "@" in parts.netloc:
        raise ConfigurationError("The base URL holds a user or password: give the key as api_key=… instead.")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ConfigurationError(f"The base URL has a query or fragment, which cannot be kept: {_shown(text)}.")
    return text.rstrip("/")


def _shown(text: str) -> str:
    """What stands before an @ may be a password."""
    return repr(str(text).rpartition("@")[2][:200])
