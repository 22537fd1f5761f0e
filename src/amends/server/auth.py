"""Who sent a request, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

from amends.problems import ProblemError, invalid_credentials, no_permission, not_authenticated
from amends.server.services import Services
from amends.store import Key, Mode, Role

_RANK: dict[Role, int] = {"viewer": 0, "member": 1, "admin": 2, "owner": 3}
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SIMULATE = b"amends-simulate"
_PROTECTED = ("/v1/", "/api/", "/openai/")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. Every query is bound to ``workspace_id``.

    key_id: None on the local socket and under ``--no-auth``. user_id: None where the key is a principal of its own.
    is_local: came through the local socket, whose file only the owner of the data directory can open.
    credential: the secret that was sent, empty without one.
    """

    workspace_id: str
    role: Role
    mode: Mode
    key_id: str | None = None
    user_id: str | None = None
    is_local: bool = False
    credential: str = field(default="", repr=False)

    @property
    def principal(self) -> str:
        """Who is written down as the maker of what this caller makes."""
        return self.user_id or self.key_id or "local"

    def has_role(self, role: Role) -> bool:
        return _RANK[self.role] >= _RANK[role]

    def authorize(self, verb: str, kind: str, *, role: Role = "member", made_by: str | None = None) -> None:
        """Let pass whoever has ``role``; with ``made_by`` a member only for what it made itself.

        Raises ProblemError insufficient_permissions: "You do not have permission to {verb} this {kind}".
        """
        owns = made_by is None or made_by == self.principal or self.has_role("admin")
        if not (self.has_role(role) and owns):
            raise ProblemError(no_permission(verb, kind))


class Authenticator:
    """Finds out who sent a request. Keys are looked up in memory."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def caller(self, scope: Scope, fields: Mapping[bytes, bytes]) -> Caller | None:
        """Who sent the request; ProblemError where it does not say so rightly.

        None on pages that explain things (``/errors``, ``/docs``, ``/health`` …). They are open, but not to simulation, which
        needs to know whose it is. fields: the headers by their names.
        """
        path = scope["path"]
        if not (path.startswith(_PROTECTED) or path + "/" in _PROTECTED or SIMULATE in fields):
            return None
        if scope.get("state", {}).get("is_local"):
            return self._owner(is_local=True)
        credentials = set(_credentials(scope["headers"]))
        if not credentials:
            if self.services.settings.server.no_auth and not _is_from_a_web_page(scope["headers"]):
                return self._owner(is_local=False)
            raise ProblemError(not_authenticated())
        key = self.services.store.keys.authenticate(secret := credentials.pop()) if len(credentials) == 1 else None
        if key is None:
            raise ProblemError(invalid_credentials())
        return caller_of(key, secret)

    def _owner(self, *, is_local: bool) -> Caller:
        mode: Mode = "test" if self.services.settings.server.test else "live"
        return Caller(self.services.default_workspace_id, "owner", mode, is_local=is_local)


def caller_of(key: Key, secret: str) -> Caller:
    return Caller(key.workspace_id, key.role, key.mode, key.id, key.user_id, credential=secret)


def _is_from_a_web_page(headers: Any) -> bool:
    """Whether a page of somewhere else may be behind the request.

    Without authentication any page the user looks at could otherwise send forms here, or read answers after pointing its own
    name at this address. Browsers name the page in Origin, and the name it used in Host; other clients name neither.
    """
    said = {name: value.decode("latin-1").lower() for name, value in headers}
    host = said.get(b"host", "")
    if _without_port(host) not in _OWN_NAMES:
        return True
    origin = said.get(b"origin")
    return origin is not None and origin.partition("://")[2] != host


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _credentials(headers: Any) -> Iterator[str]:
    """Every credential of the request; one that is no bearer at all is yielded too, since it cannot be right."""
    for name, value in headers:
        if name == b"x-api-key":
            yield value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, secret = value.decode("latin-1").strip().partition(" ")
            yield secret.strip() if scheme.lower() == "bearer" else ""
