"""Who sent a request, and what they may do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.types import Scope

from amends.problems import ProblemError, invalid_credentials, no_permission, not_authenticated
from amends.server.services import Services
from amends.store import KEY_PREFIX, Key, Mode, Role, Session

_RANK: dict[Role, int] = {"viewer": 0, "member": 1, "admin": 2, "owner": 3}
_OWN_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
SIMULATE = b"amends-simulate"
_PROTECTED = ("/v1/", "/api/", "/openai/")
OPEN = frozenset({"/api/auth/register", "/api/auth/login", "/api/auth/refresh"})
"""What is asked before anybody is known."""
_PAGES = ("/ui/", "/label/")
COOKIE = "amends_session"
"""Holds the secret of a session. It opens the pages and nothing else, so that no page of somebody else can use the API with it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request. Every query is bound to ``workspace_id``.

    key_id: None on the local socket, under ``--no-auth`` and for whoever logged in. user_id: None where the key is a principal of
    its own. session_id: of who is signed in. is_local: came through the local socket, whose file only the owner of the data directory can open.
    credential: the secret that was sent, empty without one.
    """

    workspace_id: str
    role: Role
    mode: Mode
    key_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
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
    """Finds out who sent a request. Keys and sessions are looked up in memory."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def caller(self, scope: Scope, fields: Mapping[bytes, bytes]) -> Caller | None:
        """Who sent the request; ProblemError where it does not say so rightly.

        None on pages that explain things (``/errors``, ``/docs``, ``/health`` …). They are open, but not to simulation, which
        needs to know whose it is; and on pages for people, where nobody is signed in. fields: the headers by their names.
        """
        path = scope["path"]
        if (path == "/" or (path + "/").startswith(_PAGES)) and SIMULATE not in fields:
            return self._visitor(scope)
        is_protected = (path.startswith(_PROTECTED) or path + "/" in _PROTECTED) and path not in OPEN
        if not (is_protected or SIMULATE in fields):
            return None
        if scope.get("state", {}).get("is_local"):
            return self._owner(is_local=True)
        credentials = set(_credentials(scope["headers"]))
        if not credentials:
            if self.services.settings.server.no_auth and not _is_from_a_web_page(scope["headers"]):
                return self._owner(is_local=False)
            raise ProblemError(not_authenticated())
        found = self._bearer(credentials.pop()) if len(credentials) == 1 else None
        if found is None:
            raise ProblemError(invalid_credentials())
        return found

    def _bearer(self, secret: str) -> Caller | None:
        """Whose key or access token it is; None for nobody's. ProblemError for a token whose time is over."""
        if secret.startswith(KEY_PREFIX):
            key = self.services.store.keys.authenticate(secret)
            return None if key is None else caller_of(key, secret)
        session = self.services.store.sessions.get(self.services.tokens.session_id(secret))
        return None if session is None else caller_in(session, secret)

    def _visitor(self, scope: Scope) -> Caller | None:
        """Who looks at a page for people."""
        if scope.get("state", {}).get("is_local"):
            return self._owner(is_local=True)
        headers = scope["headers"]
        secret = _cookie(headers)
        session = None if secret is None else self._session(secret)
        if session is not None and not _is_of_another_origin(_said(headers), urlsplit(self.services.public_url).netloc):
            return caller_in(session)
        if self.services.settings.server.no_auth and not _is_from_a_web_page(headers):
            return self._owner(is_local=False)
        return None

    def _session(self, secret: str) -> Session | None:
        """The session of a cookie. A key that was revoked while somebody signed in with it opens none."""
        session = self.services.store.sessions.find(secret)
        is_good = session is not None and (session.key_id is None or self.services.store.keys.is_usable(session.key_id))
        return session if is_good else None

    def _owner(self, *, is_local: bool) -> Caller:
        mode: Mode = "test" if self.services.settings.server.test else "live"
        return Caller(self.services.default_workspace_id, "owner", mode, is_local=is_local)


def caller_of(key: Key, secret: str) -> Caller:
    return Caller(key.workspace_id, key.role, key.mode, key.id, key.user_id, credential=secret)


def caller_in(session: Session, credential: str = "") -> Caller:
    return Caller(
        session.workspace_id, session.role, session.mode, session.key_id, session.user_id, session.id, credential=credential
    )  # fmt: skip


def _is_from_a_web_page(headers: Any) -> bool:
    """Whether a page of somewhere else may be behind the request.

    Without authentication any page the user looks at could otherwise send forms here, or read answers after pointing its own
    name at this address. Browsers name the page in Origin, and the name it used in Host; other clients name neither.
    """
    said = _said(headers)
    return _without_port(said.get(b"host", "")) not in _OWN_NAMES or _is_of_another_origin(said)


def _is_of_another_origin(said: Mapping[bytes, str], *own: str) -> bool:
    """Whether a page of another origin sent the request. own: what this one is called besides the name in Host."""
    origin = said.get(b"origin")
    return origin is not None and origin.partition("://")[2] not in (said.get(b"host", ""), *own)


def _said(headers: Any) -> dict[bytes, str]:
    return {name: value.decode("latin-1").lower() for name, value in headers}


def _cookie(headers: Any) -> str | None:
    """The secret in the pages' cookie."""
    for name, value in headers:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, secret = pair.strip().partition("=")
                if key == COOKIE:
                    return str(secret)
    return None


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
