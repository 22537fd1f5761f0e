"""Making problems: ``problem()`` for any row, and one function for each sentence that is promised word for word."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from ._catalogue import CATALOGUE
from ._row import Row
from ._value import STANDARD_MEMBERS, FieldError, Problem, Remedy

MAX_ERRORS: Final = 1_000
"""How many field errors a problem lists; ``errors_total`` counts them all."""

_PASSES: Final = "Try again later: the host has trouble of its own. Upload the file if it stays."
_STAYS: Final = "Check the host of the URL, which cannot be fetched from as it is, or upload the file."
_ACRONYMS: Final = {"api": "API", "url": "URL"}


def problem(
    slug: str,
    detail: str | None = None,
    *,
    error_code: str | None = None,
    instance: str | None = None,
    request_id: str | None = None,
    errors: Iterable[FieldError] = (),
    retry_after: float | None = None,
    billed: bool = False,
    hint: str | None = None,
    **extensions: Any,
) -> Problem:
    """Make a problem of the catalogue.

    What is None comes from the row: the sentence, the first error code, the hint, the seconds of ``retry_after``.
    The latter stand in the remedy and in the member ``retry_after``. Further keywords become members.

    Raises ValueError for a slug the catalogue does not have, an error code its row does not, a ``retry_after`` that
    is no span of time, and an extension named like a standard member: all mistakes of the calling code.
    """
    row, code, verdict = _verdict(slug, error_code, extensions.get("stage"))
    if taken := STANDARD_MEMBERS & extensions.keys():
        raise ValueError(f"extensions cannot be named {', '.join(sorted(taken))}")
    remedy = _remedy(verdict, retry_after, billed, hint)
    if remedy.retry_after is not None:
        extensions["retry_after"] = remedy.retry_after
    return Problem(
        slug=slug,
        status=row.status,
        title=row.title,
        detail=_default_detail(row, remedy) if detail is None else detail,
        error_code=code,
        remedy=remedy,
        instance=instance,
        request_id=request_id,
        errors=tuple(errors),
        extensions=extensions,
    )


@lru_cache(maxsize=1_024)
def _verdict(slug: str, error_code: str | None, stage: Any) -> tuple[Row, str, Remedy]:
    """The row, the code in force, and what the catalogue says to do. Asked for every failing answer, and always the same."""
    row = CATALOGUE.get(slug)
    if row is None:
        raise ValueError(f"the catalogue has no {slug!r}")
    code = error_code or row.default_error_code
    if not row.admits(code):
        raise ValueError(f"{code} is no error code of {slug}")
    if row.stages and stage is not None and stage not in row.stages:
        raise ValueError(f"{stage!r} is no stage of {slug}")
    return row, code, row.remedy_for(code, stage)


def _remedy(remedy: Remedy, retry_after: float | None, billed: bool, hint: str | None) -> Remedy:
    if retry_after is not None and not (math.isfinite(retry_after) and retry_after >= 0):
        raise ValueError(f"retry_after is no span of seconds: {retry_after}")
    if retry_after is None and hint is None and billed == remedy.billed:
        return remedy
    return dataclasses.replace(
        remedy,
        retry_after=remedy.retry_after if retry_after is None else retry_after,
        billed=billed,
        hint=remedy.hint if hint is None else hint,
    )


def _default_detail(row: Row, remedy: Remedy) -> str:
    if remedy.retry_after is None:
        return row.detail
    return row.detail.replace("{retry_after}", str(max(1, math.ceil(remedy.retry_after))))


def spoken(kind: str) -> str:
    """Return a kind as it is said within a sentence: ``api_key`` is "API key"."""
    return " ".join(_ACRONYMS.get(word, word) for word in kind.split("_"))


@lru_cache(maxsize=256)
def _opening(kind: str) -> str:
    words = spoken(kind)
    return words[:1].upper() + words[1:]


def not_authenticated() -> Problem:
    """No key or token came with the request."""
    return problem("no_authentication", "Not authenticated")


def invalid_credentials() -> Problem:
    """The key or token is wrong or revoked."""
    return problem("no_authentication", "Invalid authentication credentials")


def token_expired() -> Problem:
    """The token was good once."""
    return problem("no_authentication", "Token has expired", error_code="TOKEN_EXPIRED")


def no_permission(verb: str, kind: str) -> Problem:
    """The role does not allow to ``verb`` this ``kind`` ("delete", "collection")."""
    return problem("insufficient_permissions", f"You do not have permission to {verb} this {spoken(kind)}")


def not_found(kind: str, id: str | None = None) -> Problem:
    """Nothing of this ``kind`` (lower snake, "collection") has this id here; None leaves the id's member out."""
    member: dict[str, Any] = {} if id is None else {f"{kind}_id": id}
    return problem(
        "resource_not_found", f"{_opening(kind)} not found", error_code=f"{kind.upper()}_NOT_FOUND", **member
    )


def duplicate(kind: str, name: str) -> Problem:
    """Something of this ``kind`` has this name already."""
    return problem(
        "conflict", f"{_opening(kind)} with the name '{name}' exists already", error_code=f"DUPLICATE_{kind.upper()}"
    )


def invalid_state(detail: str, **extensions: Any) -> Problem:
    """What is asked for cannot be done in the resource's present state, which ``detail`` names."""
    return problem("conflict", detail, error_code="INVALID_STATE", **extensions)


def idempotency_conflict() -> Problem:
    """The key was used with another body."""
    return problem(
        "conflict", "This Idempotency-Key was used with another request body", error_code="IDEMPOTENCY_CONFLICT"
    )


def idempotency_in_progress(retry_after: float | None = None) -> Problem:
    """The request that claimed the key still runs."""
    return problem(
        "conflict",
        "The first request under this Idempotency-Key is still running",
        error_code="IDEMPOTENCY_IN_PROGRESS",
        retry_after=retry_after,
    )


def credit_exceeded(required: float, remaining: float, unit: str, upgrade_url: str) -> Problem:
    """Work that needs ``required`` cannot start or go on, as ``remaining`` is all there is."""
    return problem(
        "credit_exceeded",
        f"This needs {required:,g} {unit} and {remaining:,g} remain",
        required=required,
        remaining=remaining,
        unit=unit,
        upgrade_url=upgrade_url,
    )


def results_gone(batch_id: str) -> Problem:
    """The lines of this batch were deleted after retention."""
    return problem("results_gone", batch_id=batch_id)


def rate_limited(retry_after: float, **members: Any) -> Problem:
    """The limit is used up; there is room again in ``retry_after`` seconds. members: which limit it is."""
    return problem("rate_limit_exceeded", retry_after=retry_after, **members)


def too_many_batches(retry_after: float | None = None, **members: Any) -> Problem:
    """Admission control refused another batch. members: which limit it is."""
    return problem(
        "rate_limit_exceeded",
        "Too many batch prediction requests are already in progress for this workspace.",
        retry_after=retry_after,
        **members,
    )


def file_not_found(file_id: str) -> Problem:
    """The file of an item does not exist in its workspace."""
    return problem(
        "file_not_found",
        f"File '{file_id}' does not exist or is not accessible from this workspace.",
        file_id=file_id,
    )


def asset_failed(stage: str, detail: str, *, may_pass: bool | None = None, **members: Any) -> Problem:
    """An asset could not be read or fetched; ``stage`` says how far it came.

    ``may_pass``: whether the same may go well later, where that is not as usual at this stage. ``members``: as
    ``problem`` takes them.
    """
    made = problem("asset_upload_failed", detail, stage=stage, **members)
    usual = made.remedy
    if may_pass is None or may_pass == usual.retryable:
        return made
    if may_pass:
        return made.replace(
            remedy=dataclasses.replace(usual, action="retry", retryable=True, fault="upstream", hint=_PASSES)
        )
    return made.replace(remedy=dataclasses.replace(usual, action="fix_input", retryable=False, hint=_STAYS))


def empty_items() -> FieldError:
    """The fault of a batch without items."""
    return FieldError.at(("body", "items"), "items must contain at least one item", "too_short", code="empty_items")


def duplicate_custom_id(custom_id: str, index: int, *, is_line: bool = False) -> FieldError:
    """The fault of an item, the ``index``-th from 0, whose custom_id an earlier one has.

    ``is_line``: the items came as NDJSON, where pointers end at the item: ``/items/{n}``.
    """
    place: tuple[str | int, ...] = ("body", "items", index)
    return FieldError.at(
        place if is_line else (*place, "custom_id"),
        f"Duplicate custom_id '{custom_id}' in batch",
        code="duplicate_custom_id",
        custom_id=custom_id,
        input=custom_id,
    )


def validation_failed(errors: Iterable[FieldError], *, errors_total: int | None = None) -> Problem:
    """The request breaks rules: lists the first thousand faults and counts them all.

    ``errors_total``: the count, where ``errors`` is not the whole list. The sentence is that of the first fault.
    """
    faults = tuple(errors)
    detail = faults[0].sentence if faults else None
    total = len(faults) if errors_total is None else errors_total
    return problem("validation_failed", detail, errors=faults[:MAX_ERRORS], errors_total=total)
