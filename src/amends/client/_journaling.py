"""Calls under a journal: what changes something is asked for once over all runs of the program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._bodies import Body, JsonBody, NdjsonBody
from ._context import Context, ReadOptions, WriteOptions
from ._entries import Entry, SentIds
from ._exchange import Call, exchange
from ._flow import Answer, Do, Flow
from ._models import Me, read


def exchange_once(context: Context, call: Call, options: ReadOptions | WriteOptions) -> Flow[Answer]:
    """Send a call that changes something; what the journal knows the answer to is not sent. Without a journal it is ``exchange``."""
    if context.journal is None:
        return (yield from exchange(context, call, options))
    entry = yield from _entry_of(context, call, options)
    if entry.answer is not None:
        if call.body is not None:
            call.body.close()
        return Answer(200, {}, entry.answer)
    answer = yield from exchange(context, call, {**options, "idempotency_key": entry.key})
    yield from finish(context, entry, answer)
    return answer


def begin(
    context: Context,
    call: str,
    content: str,
    parameters: Any,
    options: ReadOptions | WriteOptions,
    *,
    total: int | None = None,
    sent: SentIds | None = None,
) -> Flow[Entry]:
    """Return the journal's entry of a call; see ``Journal.begin``. Asks whose the credential is, once a client."""
    journal = context.journal
    assert journal is not None
    if journal.identity is None:
        me = read(Me, (yield from exchange(context, Call("GET", "/v1/me"), reading(options))))
        # Not the address nor the key: either may be another tomorrow, and the work is still the same.
        journal.identity = f"{me.workspace_id} {me.mode}"
    key = options.get("idempotency_key")
    own = key if isinstance(key, str) else None
    entry: Entry = yield Do(lambda: journal.begin(call, content, parameters, key=own, total=total, sent=sent))
    return entry


def finish(context: Context, entry: Entry, answer: Answer) -> Flow[None]:
    """Write down the answer to a call."""
    journal = context.journal
    assert journal is not None
    yield Do(lambda: journal.finish(entry, answer.body))


def sent_ids(context: Context, run_id: str) -> Flow[Iterable[str] | None]:
    """The custom_ids of a batch, where the journal knows what was sent."""
    journal = context.journal
    if journal is None:
        return None
    found: Iterable[str] | None = yield Do(lambda: journal.custom_ids(run_id))
    return found


def _entry_of(context: Context, call: Call, options: ReadOptions | WriteOptions) -> Flow[Entry]:
    try:
        sent = SentIds() if isinstance(call.body, NdjsonBody) else None
        content = (yield from _digest(call.body, sent)) if call.body is not None else ""
        return (yield from begin(context, f"{call.method} {call.path}", content, None, options, sent=sent))
    except BaseException:
        if call.body is not None:
            call.body.close()
        raise


def _digest(body: Body, sent: SentIds | None) -> Flow[str]:
    if isinstance(body, NdjsonBody):
        watch = None if sent is None else sent.add
        found: str = yield Do(lambda: body.digest(watch), lambda: body.adigest(watch))
        return found
    assert isinstance(body, JsonBody), "a file is sent once by the flow of uploads"
    return body.digest()


def reading(options: ReadOptions | WriteOptions) -> ReadOptions:
    """The options of a call that changes nothing, out of those of one that does."""
    found: ReadOptions = {}
    if "timeout" in options:
        found["timeout"] = options["timeout"]
    if "deadline" in options:
        found["deadline"] = options["deadline"]
    return found
