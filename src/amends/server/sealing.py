"""Keys of the installation's own, all derived from one secret that lies beside the database, and secrets sealed with them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any, Final

_NONCE_BYTES: Final = 12


class CannotOpen(Exception):
    """What was sealed by another installation, or for something else, or has been changed."""


class Sealing:
    """Makes a key for each purpose. secret: of the data directory."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def key(self, purpose: str) -> bytes:
        """The 256 bits for this purpose; those for one tell nothing of those for another."""
        return hmac.digest(self._secret, purpose.encode(), hashlib.sha256)

    def digest(self, purpose: str, content: bytes) -> bytes:
        """A digest that only the installation can make: what was guessed cannot be tried against a copy of the database."""
        return hmac.digest(self.key(purpose), content, hashlib.sha256)

    def seal(self, purpose: str, of: str, content: bytes) -> bytes:
        """The content as it may be stored: AES-256-GCM, bound to the id of what it belongs to."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + bytes(self._cipher(purpose).encrypt(nonce, content, of.encode()))

    def open(self, purpose: str, of: str, sealed: bytes) -> bytes:
        """What was sealed. Raises CannotOpen."""
        from cryptography.exceptions import InvalidTag

        try:
            return bytes(self._cipher(purpose).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode()))
        except (InvalidTag, ValueError) as error:
            raise CannotOpen from error

    def _cipher(self, purpose: str) -> Any:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # large, and not wanted where nothing is sealed

        return AESGCM(self.key(purpose))
