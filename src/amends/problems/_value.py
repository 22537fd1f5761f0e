"""The Problem value (RFC 9457) and its parts: what every layer raises, stores, sends and reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

Action = Literal["fix_input", "retry", "wait", "top_up", "reauthenticate", "ask_for_access", "contact_operator", "none"]
Fault = Literal["caller", "service", "upstream"]

ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)

STANDARD_MEMBERS: Final = frozenset(
    {"type", "title", "status", "detail", "instance", "error_code", "code", "request_id", "errors", "remedy"}
)
"""Members of a body that an extension never overwrites (RFC 9457, section 3.2)."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """The whole verdict on a problem: what to do, whose fault it is, what it cost.

    ``retryable``: the same request or item, unchanged, may succeed later. ``retry_after``: seconds, None where
    nothing is known. ``safe_new_key``: repeating under a new Idempotency-Key cannot do the work twice.
    ``billed``: credits were spent. ``hint``: one sentence.
    """

    action: Action
    retryable: bool
    retry_after: float | None
    fault: Fault
    safe_new_key: bool
    billed: bool
    hint: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of the ``remedy`` member."""
        return {
            "action": self.action,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            "fault": self.fault,
            "safe_new_key": self.safe_new_key,
            "billed": self.billed,
            "hint": self.hint,
        }


def pointer_to(path: Iterable[str | int]) -> str:
    """Return the RFC 6901 pointer of a path of keys and indexes; no path is the whole document, ``""``."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a request that failed validation.

    ``pointer``: RFC 6901 into the body (``""`` where ``loc`` leads elsewhere). ``code``: our word, or else the
    same as ``type``, which is Pydantic's. ``loc``: the path, from "body", "query", "path" or "header" on.
    ``custom_id``: of the submitted item at fault, else None. ``input``: what was sent, shown by the ``detail``
    dialect alone; never a secret.
    """

    pointer: str
    code: str
    message: str
    loc: tuple[str | int, ...]
    type: str
    custom_id: str | None = None
    input: Any = field(default=None, hash=False)

    @classmethod
    def at(
        cls,
        loc: Iterable[str | int],
        message: str,
        type: str = "value_error",
        *,
        code: str | None = None,
        custom_id: str | None = None,
        input: Any = None,
    ) -> FieldError:
        """Make one from its place; the pointer follows from ``loc``, ``code`` is ``type`` where None."""
        place = tuple(loc)
        pointer = pointer_to(place[1:]) if place[:1] == ("body",) else ""
        return cls(pointer, code or type, message, place, type, custom_id, input)

    @property
    def path(self) -> str:
        """The field as people write it, ``items.0.custom_id``; empty for the body as a whole."""
        return ".".join(str(step) for step in self.loc[1:])

    @property
    def sentence(self) -> str:
        """The message, after the path where it does not say which field it means, as Pydantic's do not.

        Messages of our own, known by a ``code`` of our own, are whole sentences and promised as they stand.
        """
        names = [str(step) for step in self.loc[1:] if isinstance(step, str)]
        if not names or self.code != self.type or re.search(rf"\b{re.escape(names[-1])}\b", self.message):
            return self.message
        return f"{self.path}: {self.message}"

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object of a row of ``errors``; ``custom_id`` only where there is one."""
        row: dict[str, Any] = {
            "pointer": self.pointer,
            "code": self.code,
            "message": self.message,
            "loc": list(self.loc),
            "type": self.type,
        }
        if self.custom_id is not None:
            row["custom_id"] = self.custom_id
        return row


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that went wrong, as a value. Made by ``problem()`` from the catalogue, read by ``parse()``.

    ``status`` is the HTTP status, on an item the status it would have had alone. ``extensions`` are the further
    members the type defines. ``instance`` and ``request_id`` are None until a boundary fills them in.
    """

    slug: str
    status: int
    title: str
    detail: str
    error_code: str
    remedy: Remedy
    instance: str | None = None
    request_id: str | None = None
    errors: tuple[FieldError, ...] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def code(self) -> str:
        """``error_code`` in lower case."""
        return self.error_code.lower()

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before a repetition, None where nothing is known."""
        return self.remedy.retry_after

    def to_body(self, public_url: str) -> dict[str, Any]:
        """Return the RFC 9457 body. ``public_url`` stands before ``/errors/{slug}`` in ``type``.

        What is None or empty is left out; an extension with a standard member's name is dropped.
        """
        body: dict[str, Any] = {
            "type": f"{public_url.rstrip('/')}/errors/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.instance is not None:
            body["instance"] = self.instance
        body["error_code"] = self.error_code
        body["code"] = self.code
        if self.request_id is not None:
            body["request_id"] = self.request_id
        if self.errors:
            body["errors"] = [error.to_dict() for error in self.errors]
        body["remedy"] = self.remedy.to_dict()
        return body | {name: value for name, value in self.extensions.items() if name not in STANDARD_MEMBERS}

    def met_at(self, instance: str | None, request_id: str | None) -> Problem:
        """Return a copy with the place where it was met filled in; what it says of that itself stands."""
        # Every failing answer needs this one, and dataclasses.replace takes several times as long.
        return Problem(
            self.slug,
            self.status,
            self.title,
            self.detail,
            self.error_code,
            self.remedy,
            self.instance or instance,
            request_id or self.request_id,
            self.errors,
            self.extensions,
        )

    def replace(self, **changes: Any) -> Problem:
        """Return a copy with the given fields changed; TypeError for a field that does not exist."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_body(cls, body: Mapping[str, Any], status: int | None = None) -> Problem:
        """Read a problem body, ours or anybody's; never raises, whatever the members hold.

        ``status``: of the HTTP answer; None takes the body's (for the problem of an item). An unknown type keeps
        its slug and takes title and remedy from the class of its status; what is missing is filled in.
        """
        from ._parse import read_body  # here, since parsing makes Problems out of the catalogue, which holds Remedies

        return read_body(body, status)


class ProblemError(Exception):
    """Raised by server, store, engine and processors to end a request or an item in a problem.

    ``log_detail`` is for the log only: it may tell of the inside what ``problem.detail`` must not. Pickles.
    """

    def __init__(self, problem: Problem, log_detail: str | None = None) -> None:
        super().__init__(problem, log_detail)
        self.problem = problem
        self.log_detail = log_detail

    def __str__(self) -> str:
        return f"{self.problem.error_code}: {self.problem.detail}"
