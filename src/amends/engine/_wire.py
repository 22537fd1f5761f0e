"""What owner, supervisor and child say to each other: frames of four length bytes (big-endian) and one msgpack array.

::

    owner  ── Configure, Leased, Committed, StandingOf, Stop ──►  supervisor  ── Prepare, Begin, Chunk, Drop ──►  child
           ◄── Claim, Renew, Report, Note ──                                  ◄── Ready, Opened, Results ──

A supervisor may hold several leases at once; each has reports and claims of its own. Items and outcomes pass through it as bytes.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from amends.ledger import Deferral, FailedAttempt, Standing

_LENGTH = 4
_PIECE = 1 << 18


class Rules(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of the engine's settings that a supervisor goes by."""

    ttl_seconds: float
    lease_seconds: float
    max_lease_items: int
    max_lease_bytes: int
    chunk_seconds: float
    flush_seconds: float
    flush_items: int
    flush_bytes: int
    item_memory_bytes: int
    grace_seconds: float


class Prepare(msgspec.Struct, frozen=True, array_like=True, tag="prepare"):
    """What a child needs to know once. processors: kind → ``module:factory``. settings: JSON, what the installation says to them."""

    processors: dict[str, str]
    blobs: str
    cache: str
    threads: int
    max_attempts: int
    settings: bytes = b"{}"


class Configure(msgspec.Struct, frozen=True, array_like=True, tag="configure"):
    """The first message to a supervisor."""

    worker_id: str
    rules: Rules
    prepare: Prepare


class Begin(msgspec.Struct, frozen=True, array_like=True, tag="begin"):
    """The chunks that follow belong to this run.

    upstream: where its items are calls to, empty where they are none. Chunks of calls are worked on at once, others in turn.
    is_probe: failures that may pass do not end its items, however often they come.
    """

    run_id: str
    kind: str
    mode: str
    params: bytes
    request_id: str
    public_url: str
    batch_size: int
    deadline: float | None = None
    upstream: str = ""
    is_probe: bool = False


class Leased(msgspec.Struct, frozen=True, array_like=True, tag="leased"):
    """The answer to a claim, as late as there is work. packed: see ``amends.ledger.Lease``.

    begin: None where it is that of the lease before.
    """

    lease_id: str
    begin: Begin | None
    packed: bytes
    ttl_seconds: float
    item_timeout_seconds: float
    alone: bool = False


class Committed(msgspec.Struct, frozen=True, array_like=True, tag="committed", gc=False):
    """The answer to a report. ok False: the lease was fenced, and nothing was written."""

    lease_id: str
    ok: bool


class StandingOf(msgspec.Struct, frozen=True, array_like=True, tag="standing", gc=False):
    """The answer to a renewal, or news about the lease that nobody asked for."""

    lease_id: str
    standing: Standing


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop", gc=False):
    """Finish what is running within the grace, report it, and exit."""

    grace_seconds: float


class Claim(msgspec.Struct, frozen=True, array_like=True, tag="claim", gc=False):
    """Asks for a lease; answered when there is one. max_calls: most items that are calls."""

    max_items: int
    max_bytes: int
    max_calls: int = 16


class Renew(msgspec.Struct, frozen=True, array_like=True, tag="renew", gc=False):
    lease_id: str


class Report(msgspec.Struct, frozen=True, array_like=True, tag="report"):
    """What became of items under a lease. batches: each a msgpack array of outcomes. claim: made after a final report."""

    lease_id: str
    batches: list[msgspec.Raw] = []
    deferred: list[Deferral] = []
    attempts: list[FailedAttempt] = []
    deaths: list[int] = []
    final: bool = False
    claim: Claim | None = None


class Note(msgspec.Struct, frozen=True, array_like=True, tag="note", gc=False):
    """The process id of the supervisor's child; None when it has none."""

    child_pid: int | None


class Chunk(msgspec.Struct, frozen=True, array_like=True, tag="chunk"):
    """Packed items for the child."""

    no: int
    packed: bytes


class Drop(msgspec.Struct, frozen=True, array_like=True, tag="drop", gc=False):
    """Stop what is under way of a chunk of calls; nobody waits for its results."""

    chunk_no: int


class Ready(msgspec.Struct, frozen=True, array_like=True, tag="ready", gc=False):
    """The child is up."""


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="opened", gc=False):
    """The processor of the last ``Begin`` is open: what takes time from here on is an item."""


class Results(msgspec.Struct, frozen=True, array_like=True, tag="results"):
    """What became of items of a chunk. seqs: of all of them, ended or deferred. outcomes: a msgpack array.

    busy_seconds: the time they took. is_last: nothing of the chunk is left.
    """

    chunk_no: int
    seqs: list[int]
    outcomes: msgspec.Raw
    deferred: list[Deferral]
    attempts: list[FailedAttempt]
    busy_seconds: float
    is_last: bool


ToSupervisor = Configure | Leased | Committed | StandingOf | Stop
ToOwner = Claim | Renew | Report | Note
ToChild = Prepare | Begin | Chunk | Drop
FromChild = Ready | Opened | Results

_encoder = msgspec.msgpack.Encoder()
NO_OUTCOMES = msgspec.Raw(_encoder.encode([]))

to_supervisor: msgspec.msgpack.Decoder[ToSupervisor] = msgspec.msgpack.Decoder(ToSupervisor)
to_owner: msgspec.msgpack.Decoder[ToOwner] = msgspec.msgpack.Decoder(ToOwner)
to_child: msgspec.msgpack.Decoder[ToChild] = msgspec.msgpack.Decoder(ToChild)
from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)


def raw(value: Any) -> msgspec.Raw:
    """The value encoded, to be put into a message as it is."""
    return msgspec.Raw(_encoder.encode(value))


def frame(message: Any) -> bytearray:
    """The message as it goes over a socket."""
    buffer = bytearray(_LENGTH)
    _encoder.encode_into(message, buffer, _LENGTH)
    buffer[:_LENGTH] = (len(buffer) - _LENGTH).to_bytes(_LENGTH, "big")
    return buffer


class Frames:
    """Splits what a socket yields, in pieces of any size, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """The frames that ``data`` completes."""
        self._buffer += data
        start, size = 0, len(self._buffer)
        while size - start >= _LENGTH:
            end = start + _LENGTH + int.from_bytes(self._buffer[start : start + _LENGTH], "big")
            if end > size:
                break
            yield bytes(memoryview(self._buffer)[start + _LENGTH : end])
            start = end
        del self._buffer[:start]


class Incoming:
    """The frames of a blocking socket. Reads ahead: a call for the length alone would cost more than a small frame."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._piece = memoryview(bytearray(_PIECE))
        self._frames = Frames()
        self._complete: deque[bytes] = deque()

    def receive(self) -> bytes | None:
        """The next frame; None at the socket's end."""
        while not self._complete:
            received = self._connection.recv_into(self._piece)
            if not received:
                return None
            self._complete.extend(self._frames.feed(self._piece[:received]))
        return self._complete.popleft()
