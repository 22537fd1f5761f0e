"""``/label/{order}``: where people answer an order's tasks, come by an invitation link or signed in."""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.responses import JSONResponse, Response

from amends.database import Transaction
from amends.problems import ProblemError, not_authenticated, not_found
from amends.server.accounts import address_of
from amends.server.changes import in_transaction
from amends.server.guesses import Name, network_of
from amends.server.labelling import check_answer, choices_of, definition_of, take_answer, take_back
from amends.server.threads import in_thread
from amends.store import Annotator, DatapointRecord, JobDefinition, Order, TaskLease
from amends.web.media import asset_of, medium, shown_asset
from amends.web.visits import Anybody, PageRoute, SignInNeeded, Visit, see_other

router = APIRouter(prefix="/label", route_class=PageRoute, include_in_schema=False)

T = TypeVar("T")

COOKIE: Final = "amends_label"
_COOKIE_SECONDS: Final = 30 * 86_400
_LEASE_SECONDS: Final = 60.0
"""How long a task stays with a page that says nothing more; it speaks up three times as often."""
_MOST_AHEAD: Final = 2
_MOST_NAME: Final = 80

OrderId = Annotated[str, Path(max_length=128)]
LeaseId = Annotated[str, Field(min_length=1, max_length=128)]
Seq = Annotated[int, Field(ge=0, le=2**53)]


class Wanted(BaseModel):
    """What a page asks for. held: the tasks it has."""

    model_config = ConfigDict(extra="forbid")
    held: Annotated[list[LeaseId], Field(max_length=16)] = []
    wanted: Annotated[int, Field(ge=1, le=_MOST_AHEAD)] = _MOST_AHEAD


class Held(BaseModel):
    """Tasks that a page goes on with."""

    model_config = ConfigDict(extra="forbid")
    lease_ids: Annotated[list[LeaseId], Field(max_length=16)]


class Given(BaseModel):
    """An answer. seq: the task's, by which one that was sent twice is known."""

    model_config = ConfigDict(extra="forbid")
    lease_id: LeaseId
    seq: Seq
    answer: JsonValue
    elapsed_ms: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


class Skipped(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lease_id: LeaseId
    seq: Seq
    elapsed_ms: int | None = None
    reason: Annotated[str, Field(max_length=500)] | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """Somebody at an order's tasks."""

    look: Visit
    order: Order
    definition: JobDefinition
    annotator: Annotator

    @property
    def lease_seconds(self) -> float:
        return min(self.order.settings.lease_seconds, _LEASE_SECONDS)

    @property
    def code(self) -> str | None:
        """By which somebody without an account is the same person elsewhere."""
        return None if self.annotator.user_id else _code(self.look, self.annotator)

    @property
    def is_timed(self) -> bool:
        """Whether a task that is looked at is to be answered within a time."""
        return self.order.settings.time_limit_seconds is not None

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await in_transaction(self.look.hub, work)


async def desk(look: Anybody, order_id: OrderId) -> Desk:
    """Who asks, at which order; ProblemError no_authentication for whoever has not come in by the page."""
    order = await in_thread(_order, look, order_id)
    annotator = await in_thread(_known_annotator, look, order)
    if annotator is None:
        raise ProblemError(not_authenticated())
    if not look.is_signed_in:  # who is, was counted at the entrance
        look.request.state.headers, refused = look.hub.throttle.admit_guest(
            annotator.id, look.request.method, look.request.url.path
        )
        if refused is not None:
            raise refused
    return Desk(look, order, await in_thread(definition_of, look.hub, order), annotator)


AtDesk = Annotated[Desk, Depends(desk)]


@router.get("/{order_id}")
async def labelling_page(
    look: Anybody, order_id: OrderId, invitation: Annotated[str | None, Query(max_length=256)] = None
) -> Response:
    order = await in_thread(_order, look, order_id)
    if invitation is not None:
        return await _by_invitation(look, order, invitation)
    annotator = await in_thread(_known_annotator, look, order)
    if annotator is None:
        if not (_is_invited(look, order) or _may_label(look, order)):
            raise SignInNeeded
        return look.page("label_join.html", order=order, name="", is_taken=False, is_wrong=False)
    found = Desk(look, order, await in_thread(definition_of, look.hub, order), annotator)
    renew_seconds = max(found.lease_seconds / 3, 0.5)
    return look.page("label.html", order=order, desk=found, renew_seconds=renew_seconds)


@router.post("/{order_id}/join")
async def join(look: Anybody, order_id: OrderId) -> Response:
    """Say one's name; whoever says one that somebody has already must know that one's code."""
    order = await in_thread(_order, look, order_id)
    if not (_is_invited(look, order) or _may_label(look, order)):
        raise SignInNeeded
    fields = await look.form()
    name = " ".join(fields.get("name", "").split())[:_MOST_NAME]
    if not name or not name.isprintable():
        return look.page("label_join.html", order=order, name=name, is_taken=False, is_wrong=False)
    if (address := address_of(look.request)) is not None:
        look.hub.logins.hold_back([Name("newcomer", network_of(address))])
    annotators = look.hub.store.annotators
    if _may_label(look, order) and (user_id := look.who.user_id) is not None:
        annotator = await in_transaction(look.hub, lambda tx: annotators.ensure(tx, order.id, name, user_id=user_id))
        return _with_cookie(look, order, annotator)
    annotator, is_new = await in_transaction(look.hub, lambda tx: annotators.welcome(tx, order.id, name))
    code = fields.get("code", "")
    if is_new or _is_code_of(look, annotator, code):
        return _with_cookie(look, order, annotator)
    return look.page("label_join.html", order=order, name=name, is_taken=True, is_wrong=bool(code))


@router.post("/{order_id}/tasks")
async def hand_out(at: AtDesk, asked: Wanted) -> Response:
    """The tasks that the page has and keeps, and new ones up to as many as it wants."""

    def work(tx: Transaction) -> list[TaskLease]:
        tasks = at.look.hub.store.tasks
        kept = [_renewed(tx, at, lease_id) for lease_id in asked.held]
        leases = [lease for lease in kept if lease is not None]
        while len(leases) < asked.wanted:
            lease = tasks.next_task(tx, at.order.id, at.annotator.id, at.lease_seconds)
            if lease is None or lease.id in [held.id for held in leases]:
                break
            leases.append(lease)
        return leases

    leases = await at.write(work)
    shown = await in_thread(lambda: [task_body(at, lease) for lease in leases])
    return await _answer(at, {"held": [lease.id for lease in leases], "tasks": shown})


@router.post("/{order_id}/leases")
async def renew(at: AtDesk, asked: Held) -> Response:
    def work(tx: Transaction) -> list[str]:
        return [lease_id for lease_id in asked.lease_ids if _renewed(tx, at, lease_id) is not None]

    return JSONResponse({"held": await at.write(work)})


@router.post("/{order_id}/answers")
async def answer(at: AtDesk, given: Given) -> Response:
    """Take an answer. recorded: whether it counts, be it since it was sent before."""
    hub = at.look.hub
    lease = await in_thread(hub.store.tasks.find_lease, given.lease_id)
    if lease is None or not _is_at(at, lease):
        return await _answer(at, {"recorded": await in_thread(_has_answered, at, given.seq)})
    datapoint = await in_thread(_datapoint, at, lease.datapoint_id)
    stated = check_answer(at.definition, datapoint, given.answer)

    def work(tx: Transaction) -> bool:
        try:
            take_answer(hub, tx, lease, stated, given.elapsed_ms)
        except ProblemError:  # lapsed, and the task has all its answers; or the same answer was taken a moment ago
            return False
        return True

    is_new = await at.write(work)
    return await _answer(at, {"recorded": is_new or await in_thread(_has_answered, at, given.seq)})


@router.post("/{order_id}/skips")
async def skip(at: AtDesk, given: Skipped) -> Response:
    def work(tx: Transaction) -> bool:
        tasks = at.look.hub.store.tasks
        return _is_at(at, tasks.lease(tx, given.lease_id)) and tasks.skip(tx, given.lease_id, given.reason)

    return await _answer(at, {"recorded": await at.write(work)})


@router.post("/{order_id}/undo")
async def undo(at: AtDesk) -> Response:
    """Take the last answer back: its task comes again, with what was said to it."""
    undone = await at.write(lambda tx: take_back(at.look.hub, tx, at.order, at.annotator.id))
    task = await in_thread(task_body, at, undone.lease)
    return await _answer(at, {"task": {**task, "previous": undone.answer}})


@router.get("/{order_id}/media/{datapoint_id}/{number}")
async def media(
    at: AtDesk, datapoint_id: Annotated[str, Path(max_length=128)], number: Annotated[int, Path(ge=0, le=1_000)]
) -> Response:
    """The content of one thing of a datapoint; those of its media context come after its assets."""
    datapoint = await in_thread(_datapoint, at, datapoint_id)
    return await in_thread(shown_asset, at.look.request, at.look.hub, asset_of(datapoint, number))


def _order(look: Visit, order_id: str) -> Order:
    order = look.hub.store.orders.get(order_id)
    if order is None:
        raise ProblemError(not_found("order", order_id))
    return order


def _may_label(look: Visit, order: Order) -> bool:
    """Whether the visitor is of the order's workspace and may write."""
    return look.is_signed_in and look.who.workspace_id == order.workspace_id and look.who.has_role("member")


# Coming in: the link's token is exchanged for a cookie, so that it stays neither in the address bar nor in a Referer. The cookie
# holds the invitation until somebody said a name, then the annotator. Its seal is the installation's, over the invitation, too: whoever
# knows the link can make nobody else's, and a new link ends it. Somebody who said a name has a code besides, which the page shows to
# nobody else: with it they are the same person in another browser.


async def _by_invitation(look: Visit, order: Order, token: str) -> Response:
    invited = await in_thread(look.hub.store.orders.by_invitation, token)
    if invited is None or invited.id != order.id:
        raise ProblemError(not_found("invitation", "of this link"))
    if await in_thread(_known_annotator, look, order) is not None:
        return see_other(f"/label/{order.id}")
    return _with_cookie(look, order, None)


def _with_cookie(look: Visit, order: Order, annotator: Annotator | None) -> Response:
    """Lax and not Strict: whoever follows the link in a message is then redirected here, and that still counts as from elsewhere.
    Whatever changes something also checks its Origin."""
    place = f"/label/{order.id}"
    annotator_id = "" if annotator is None else annotator.id
    value = f"{annotator_id}.{_seal(look, order, annotator_id)}"
    answer = see_other(place)
    is_secure = look.request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, value, max_age=_COOKIE_SECONDS, path=place, httponly=True, samesite="lax", secure=is_secure
    )
    return answer


def _cookie(look: Visit, order: Order) -> tuple[str, bool] | None:
    """The annotator's id in the cookie, empty before there is one, and whether the seal holds."""
    annotator_id, dot, seal = look.request.cookies.get(COOKIE, "").partition(".")
    if not dot:
        return None
    return annotator_id, hmac.compare_digest(seal.encode(), _seal(look, order, annotator_id).encode())


def _seal(look: Visit, order: Order, annotator_id: str) -> str:
    content = f"{order.id} {annotator_id} {(order.invitation or b'').hex()}"
    return look.hub.sealing.digest("labelling cookies", content.encode("utf-8", "replace")).hex()


def _code(look: Visit, annotator: Annotator) -> str:
    letters = b32encode(look.hub.sealing.digest("labelling codes", annotator.id.encode())).decode()
    return f"{letters[:4]}-{letters[4:8]}"


def _is_code_of(look: Visit, annotator: Annotator, given: str) -> bool:
    """ProblemError rate_limit_exceeded where there were too many wrong ones."""
    if not given:
        return False
    look.hub.logins.hold_back([Name("annotator", annotator.id)])
    said = "".join(letter for letter in given.upper() if letter.isalnum())
    return hmac.compare_digest(said.encode(), _code(look, annotator).replace("-", "").encode())


def _is_invited(look: Visit, order: Order) -> bool:
    found = _cookie(look, order)
    return order.invitation is not None and found is not None and found[1]


def _known_annotator(look: Visit, order: Order) -> Annotator | None:
    """The annotator that the visitor is: by the cookie, else by being signed in as its user."""
    found = _cookie(look, order)
    may_label = _may_label(look, order)
    if found is not None and found[0] and found[1] and (order.invitation is not None or may_label):
        annotator = look.hub.store.annotators.get(found[0])
        if annotator is not None and annotator.order_id == order.id:
            return annotator
    if not may_label or look.who.user_id is None:
        return None
    every = look.hub.store.annotators.of_order(order.id)
    return next((one for one in every if one.user_id == look.who.user_id), None)


# Tasks as the page shows them


def task_body(at: Desk, lease: TaskLease) -> dict[str, Any]:
    """What is shown of a leased task. private_metadata is no part of it. Blocks."""
    datapoint = _datapoint(at, lease.datapoint_id)
    place = f"/label/{at.order.id}/media/{datapoint.id}"
    choices = choices_of(at.definition, datapoint, lease)
    is_compare = at.definition.kind == "compare"
    # Those that are compared stand in the order in which they are chosen among.
    numbers: list[int] = [int(choice) for choice in choices or ()] if is_compare else list(range(len(datapoint.assets)))
    return {
        "lease_id": lease.id,
        "seq": lease.seq,
        "media": [medium(datapoint.assets[number], f"{place}/{number}") for number in numbers],
        "media_context": [
            medium(asset, f"{place}/{number}")
            for number, asset in enumerate(datapoint.media_context, start=len(datapoint.assets))
        ],
        "context": datapoint.context,
        "sentence": datapoint.sentence,
        "options": [
            {"text": f"Number {place + 1}" if is_compare else choice, "answer": choice}
            for place, choice in enumerate(choices or ())
        ],
    }


def _datapoint(at: Desk, datapoint_id: str) -> DatapointRecord:
    datapoint = at.look.hub.store.datasets.datapoint(at.order.workspace_id, datapoint_id)
    if datapoint is None or datapoint.dataset_id != at.order.dataset_id:
        raise ProblemError(not_found("datapoint", datapoint_id))
    return datapoint


def _is_at(at: Desk, lease: TaskLease | None) -> bool:
    return lease is not None and (lease.order_id, lease.annotator_id) == (at.order.id, at.annotator.id)


def _renewed(tx: Transaction, at: Desk, lease_id: str) -> TaskLease | None:
    tasks = at.look.hub.store.tasks
    return tasks.renew(tx, lease_id, at.lease_seconds) if _is_at(at, tasks.lease(tx, lease_id)) else None


def _has_answered(at: Desk, seq: int) -> bool:
    """Whether the annotator's answer to the task counts already: the one that is sent was sent before, and its receipt got lost."""
    found = at.look.hub.store.tasks.responses(at.order.id, seq - 1, seq)
    return any(one.annotator_id == at.annotator.id for one in found)


async def _answer(at: Desk, body: Mapping[str, Any]) -> Response:
    """With how far the order and the annotator are."""
    hub = at.look.hub
    order = await in_thread(hub.store.orders.get, at.order.id) or at.order
    mine = await in_thread(hub.store.annotators.count, at.annotator.id)
    state = "waiting" if order.status == "running" else order.status
    return JSONResponse({"state": state, "done": order.tasks_done, "total": order.tasks, "mine": mine, **body})
