"""What may be done with orders and their tasks: shared by the routes and the pages.

Whatever changes something takes the transaction that it is done in, and raises ProblemError where it cannot be.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from amends.database import Transaction
from amends.problems import FieldError, ProblemError, invalid_state, not_found, validation_failed
from amends.server.services import Services
from amends.store import (
    DatapointRecord,
    JobDefinition,
    Order,
    OrderStatus,
    Responded,
    TaskLease,
    Undone,
)

MAX_TEXT: Final = 10_000
MAX_POINTS: Final = 100


# Orders


def find_order(hub: Services, workspace_id: str, order_id: str) -> Order:
    """The order, if it is of the workspace; what is not is answered like what never was."""
    order = hub.store.orders.get(order_id)
    if order is None or order.workspace_id != workspace_id:
        raise ProblemError(not_found("order", order_id))
    return order


def definition_of(hub: Services, order: Order) -> JobDefinition:
    """What the order asks."""
    definition = hub.store.job_definitions.get(order.workspace_id, order.definition_id)
    if definition is None:
        raise ProblemError(not_found("job_definition", order.definition_id))
    return definition


def look_over(hub: Services, definition: JobDefinition) -> int:
    """Up to which datapoint all of the dataset can be asked about, looked at outside of any transaction, for ``run_order``.

    ProblemError conflict where one cannot.
    """
    last, count, first = hub.store.orders.look_over(definition)
    _refuse_unfit(definition, count, first)
    return last


def run_order(hub: Services, tx: Transaction, order: Order, looked_at: int) -> Order:
    """Start the order, or go on with one that is paused; one that runs is left as it is.

    looked_at: what ``look_over`` said. Its first tasks are there with the transaction, the others soon after, see ``Steward``: call ``hub.labelling_work.set()`` once it
    is durable.
    """
    orders = hub.store.orders
    current = _locked(hub, tx, order)
    if current.status == "running":
        return current
    is_new = current.until_seq is None
    definition = definition_of(hub, current)
    if is_new:
        current = orders.fill(tx, _with_datapoints(hub, tx, current, definition, looked_at), definition)
    moved = _moved(hub, tx, current, "running")
    return _locked(hub, tx, order) if orders.complete(tx, order.id) else moved


def pause_order(hub: Services, tx: Transaction, order: Order) -> Order:
    """Hand out no more tasks; answers under way are still taken. A paused order is left as it is."""
    current = _locked(hub, tx, order)
    return current if current.status == "paused" else _moved(hub, tx, current, "paused")


def cancel_order(hub: Services, tx: Transaction, order: Order) -> Order:
    """End the order; its answers stay. A cancelled order is left as it is."""
    current = _locked(hub, tx, order)
    return current if current.status == "cancelled" else _moved(hub, tx, current, "cancelled")


def change_order(hub: Services, order: Order, verb: str) -> Callable[[Transaction], Order]:
    """What runs, pauses or cancels the order, by its name in paths and on buttons."""
    match verb:
        case "run":
            looked_at = look_over(hub, definition_of(hub, order)) if order.until_seq is None else 0
            return lambda tx: run_order(hub, tx, order, looked_at)
        case "pause":
            return lambda tx: pause_order(hub, tx, order)
        case _:
            return lambda tx: cancel_order(hub, tx, order)


def _locked(hub: Services, tx: Transaction, order: Order) -> Order:
    current = hub.store.orders.lock(tx, order.id)
    if current is None:
        raise ProblemError(not_found("order", order.id))
    return current


def _moved(hub: Services, tx: Transaction, order: Order, status: OrderStatus) -> Order:
    moved = hub.store.orders.move(tx, order.id, status)
    if moved is None:
        detail = f"The order is {order.status} and cannot become {status}"
        raise ProblemError(invalid_state(detail, order_id=order.id, status_now=order.status))
    return moved


def _with_datapoints(hub: Services, tx: Transaction, order: Order, definition: JobDefinition, looked_at: int) -> Order:
    """The order, to which the datapoints belong that there are now; ProblemError where there are none, or one does not fit."""
    _refuse_unfit(definition, *hub.store.orders.unfit(tx, definition, looked_at))
    if not hub.store.orders.begin(tx, order):
        detail = "There is nothing to ask about: the dataset has no datapoints"
        raise ProblemError(invalid_state(detail, order_id=order.id, dataset_id=order.dataset_id))
    return _locked(hub, tx, order)


def _refuse_unfit(definition: JobDefinition, count: int, first: str | None) -> None:
    if count:
        of_compare = definition.kind == "compare"
        lacks = "two assets to compare" if of_compare else "answer_options, and neither has the definition"
        detail = f"{count} datapoints lack {lacks}; the first is {first}"
        raise ProblemError(invalid_state(detail, job_definition_id=definition.id, datapoint_id=first, unfit=count))


# Tasks


def take_answer(hub: Services, tx: Transaction, lease: TaskLease, answer: Any, elapsed_ms: int | None) -> Responded:
    """Count an answer that ``check_answer`` has let pass. ProblemError conflict: the task needs it no more."""
    responded = hub.store.tasks.respond(tx, lease.id, answer, elapsed_ms)
    if responded is None:
        detail = "The lease on the task has lapsed or was used, and the task needs no more answers"
        raise ProblemError(invalid_state(detail, task_lease_id=lease.id, order_id=lease.order_id))
    return responded


def take_back(hub: Services, tx: Transaction, order: Order, annotator_id: str) -> Undone:
    """Take back an annotator's last answer. ProblemError conflict: there is none, or the order does not run."""
    undone = hub.store.tasks.undo(tx, order.id, annotator_id)
    if undone is None:
        detail = "There is no answer to take back" if order.status == "running" else f"The order is {order.status}"
        raise ProblemError(invalid_state(detail, order_id=order.id, status_now=order.status))
    return undone


def check_answer(definition: JobDefinition, datapoint: DatapointRecord, answer: Any) -> Any:
    """The answer as it is stored; ProblemError validation_failed for one that the kind does not have.

    classification: one of the options. compare: the place of the chosen asset, from 0. free_text: a text. locate: points, each with
    ``x`` from the left and ``y`` from the top in parts of the picture, 0 to 1.
    """
    match definition.kind:
        case "classification":
            fault = _option_fault(options_of(definition, datapoint), answer)
        case "compare":
            is_place = isinstance(answer, int) and not isinstance(answer, bool)
            is_there = is_place and 0 <= answer < len(datapoint.assets)
            fault = None if is_there else f"Answer with the place of an asset, 0 to {len(datapoint.assets) - 1}"
        case "free_text":
            is_text = isinstance(answer, str) and bool(answer.strip()) and len(answer) <= MAX_TEXT
            fault = None if is_text and _is_whole(answer) else f"Answer with a text of 1 to {MAX_TEXT} characters"
        case "locate":
            fault = _points_fault(answer)
    if fault is not None:
        raise ProblemError(validation_failed([FieldError.at(("body", "answer"), fault, code="unfit_answer")]))
    return answer.strip() if definition.kind == "free_text" else answer


def options_of(definition: JobDefinition, datapoint: DatapointRecord) -> Sequence[str]:
    """What a classification chooses among: the datapoint's own options before the definition's."""
    return datapoint.answer_options or definition.answer_options or ()


def choices_of(definition: JobDefinition, datapoint: DatapointRecord, lease: TaskLease) -> list[Any] | None:
    """The answers to choose among in the order in which they are shown; None where anything may be said.

    Shuffled where the settings say so, the same way each time that this annotator sees this task.
    """
    choices: list[Any]
    match definition.kind:
        case "classification":
            choices = list(options_of(definition, datapoint))
        case "compare":
            choices = list(range(len(datapoint.assets)))
        case _:
            return None
    if definition.settings.shuffle_answers:
        random.Random(f"{lease.order_id} {lease.seq} {lease.annotator_id}").shuffle(choices)
    return choices


def _option_fault(options: Sequence[str], answer: Any) -> str | None:
    if isinstance(answer, str) and answer in options:
        return None
    shown = ", ".join(f"'{option}'" for option in options[:10])
    return f"Answer with one of {shown}{' …' if len(options) > 10 else ''}"


def _points_fault(answer: Any) -> str | None:
    if not isinstance(answer, list) or not 1 <= len(answer) <= MAX_POINTS:
        return f"Answer with a list of 1 to {MAX_POINTS} points"
    for point in answer:
        if not isinstance(point, Mapping) or set(point) != {"x", "y"}:
            return 'A point is {"x": …, "y": …}'
        if not all(_is_part(value) for value in point.values()):
            return "x and y are parts of the picture's width and height, from 0 to 1"
    return None


def _is_whole(text: str) -> bool:
    """Whether it holds no half of a surrogate pair, which can be neither stored nor sent."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _is_part(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
