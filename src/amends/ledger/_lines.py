"""Result lines: how an outcome reads in a result stream, and how leased items are packed.

A line is kept without its first two members, which are the same for a whole run, and gets them back when it is streamed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from amends.ledger._types import ItemStatus, LeasedItem
from amends.problems import Problem

_encode = msgspec.json.Encoder().encode


class ResultLines:
    """Composes the result lines of one run.

    item_path: the path of an item, for its problem's ``instance``.
    """

    def __init__(self, run_id: str, request_id: str, public_url: str) -> None:
        self.run_id = run_id
        self.request_id = request_id
        self.public_url = public_url

    def succeeded(
        self,
        custom_id: str,
        output: bytes,
        *,
        evidence: bytes | None = None,
        usage: bytes | None = None,
        attempts: int = 1,
        elapsed_ms: int = 0,
    ) -> bytes:
        """The line of a success. output, evidence, usage: JSON objects, put in as they are."""
        return b'"custom_id":%b,"status":"succeeded","output":%b,"error":null,"usage":%b,"attempts":%d,"elapsed_ms":%d,"evidence":%b}' % (
            _encode(custom_id), output, usage or b"null", attempts, elapsed_ms, evidence or b"null",
        )  # fmt: skip

    def ended(
        self, custom_id: str, status: ItemStatus, problem: Problem, *, attempts: int = 0, elapsed_ms: int = 0
    ) -> bytes:
        """The line of anything but a success."""
        return (
            b'"custom_id":%b,"status":"%b","output":null,"error":%b,"usage":null,"attempts":%d,"elapsed_ms":%d,"evidence":null}'
            % (_encode(custom_id), status.encode(), self.problem(custom_id, problem), attempts, elapsed_ms)
        )

    def repeated(self, status: ItemStatus, problem: Problem) -> Callable[[str, int], bytes]:
        """Return a function from custom_id and attempts to the line, for thousands of items that end in the same way.

        The problem must not name the item: only its ``instance`` does, and that is filled in.
        """
        mark = "amends-custom-id"
        parts = self.ended(mark, status, problem).split(mark.encode())
        head, middle = parts[0][:-1], parts[1][1:]
        # the last one: a problem may have such members of its own
        after, _, tail = parts[2].rpartition(b'0,"elapsed_ms":')
        tail = b',"elapsed_ms":' + tail
        return lambda custom_id, attempts: b"%b%b%b%b%b%d%b" % (
            head, _encode(custom_id), middle, percent_encoded(custom_id).encode(), after, attempts, tail,
        )  # fmt: skip

    def problem(self, custom_id: str, problem: Problem) -> bytes:
        """The item's problem as its body, naming the item and the request that made the run."""
        instance = problem.instance or f"/v1/batch-predictions/{self.run_id}/items/{percent_encoded(custom_id)}"
        whole = problem.replace(instance=instance, request_id=self.request_id or problem.request_id)
        return json.dumps(whole.to_body(self.public_url), ensure_ascii=False, separators=(",", ":")).encode()


def line_head(run_id: str) -> bytes:
    """What stands before every kept line of a run when it is streamed."""
    return b'{"object":"batch_prediction.result","batch_id":"%b",' % run_id.encode()


def percent_encoded(custom_id: str) -> str:
    """The custom_id as one segment of a path."""
    return quote(custom_id, safe="")


def pack_items(items: Iterable[LeasedItem]) -> bytes:
    """The items as one text: ``seq attempts deaths custom_id payload``, tabs between, one a line."""
    return b"\n".join(
        b"%d\t%d\t%d\t%b\t%b" % (i.seq, i.attempts, i.deaths, i.custom_id.encode(), i.payload) for i in items
    )


def unpack_items(packed: bytes) -> Iterator[LeasedItem]:
    """The items of a packed lease, in the order of their seq."""
    for line in packed.split(b"\n") if packed else ():
        seq, attempts, deaths, custom_id, payload = line.split(b"\t", 4)
        yield LeasedItem(int(seq), custom_id.decode(), payload, int(attempts), int(deaths))


def line_members(line: bytes) -> dict[str, Any]:
    """A whole result line, decoded."""
    members: dict[str, Any] = msgspec.json.decode(line)
    return members
