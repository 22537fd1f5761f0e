"""The ledger's protocol: the only truth about runs and items, whatever stores it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from amends.ledger._credits import CreditEntry, CreditStanding, Funding
from amends.ledger._types import (
    Answer,
    ClaimRequest,
    Commit,
    Conservation,
    Ending,
    FailureGroup,
    ItemRecord,
    ItemStatus,
    Lease,
    Manifest,
    NewItem,
    NewRun,
    Outcome,
    ResultChunk,
    Run,
    RunState,
    Standing,
    Step,
)
from amends.problems import Problem

Also = Callable[[Any], None]
"""Work done in the same transaction as the call it is given to; it receives the adapter's transaction
(``amends.database.Transaction`` on SQLite; the in-memory model passes None)."""

Told = Callable[[Any, Run], None]
"""Told, in the same transaction, of a run that has ended or was paused; it receives the adapter's transaction."""


class Ledger(Protocol):
    """Runs, items, spans, leases, outcomes.

    Every method is one durable step: when it returns, the step survives a crash; when it raises, nothing happened.
    Methods block and may be called from any thread. Clocks are the adapter's own (handed to its constructor).
    """

    # Creating: receiving → validating | in_progress

    def open_run(self, run: NewRun, *, most: int | None = None, also: Also | None = None) -> None:
        """Write the run, invisible, in state ``receiving``.

        Raises TooManyRuns where ``most`` runs of the workspace, receiving ones too, have not ended; CreditExceeded where
        there is no credit for an item.
        """

    def append(self, run_id: str, items: Sequence[NewItem]) -> None:
        """Add items to a receiving run, at most 10,000 a call; seqs go on from the last call. RunNotFound when it was abandoned."""

    def seal(self, run_id: str, *, validate: bool, also: Also | None = None) -> Run:
        """End the receiving: index the custom_ids, lay out the spans, make the run visible.

        validate: whether the run must pass ``validating`` (else it is ``in_progress`` at once).
        ``limit_items`` and ``sample`` decide which spans are held. ``also`` runs in the transaction that makes the run visible.
        Raises DuplicateCustomIds, CreditExceeded (the run then stays ``receiving``: abandon it).
        """

    def abandon(self, run_id: str) -> None:
        """Drop a receiving run: it disappears at once, its rows in slices by ``clean``. No effect on other states."""

    def clean(self, limit: int = 10_000) -> int:
        """Delete up to ``limit`` rows of abandoned or purged runs; the number deleted (0: nothing left)."""

    def abandon_receiving(self) -> int:
        """Abandon every receiving run: the owner just started, so whoever was sending them is gone."""

    # Moving items

    def claim(self, request: ClaimRequest) -> Lease | None:
        """Lease due deferred items, else the head of a pending span, of a run in progress and not paused.

        A workspace with work is drawn at random, then a run by priority weight, then its lowest span; those that lapsed
        three times or more come last, the fewest lapses first, and are claimed item by item. A run whose items have a
        price leases no more than there is credit for, and pauses (``credit``, ``cost_cap``) where that is none.
        """

    def renew(self, lease_id: str, ttl_seconds: float) -> Standing:
        """Extend the lease. ``stopping``: held, but the run is ending: stop what is running, then commit final."""

    def commit(self, commit: Commit) -> bool:
        """Record outcomes, deferrals, attempts and deaths, if the lease still holds. False: fenced, nothing was written.

        An outcome of an item that already has one, or that the lease does not cover, is a programming error (ValueError) and writes nothing.
        """

    def perform(self, steps: Sequence[Step]) -> Sequence[Answer]:
        """Commits, claims and renewals of many workers, each as if called by itself, in this order; their answers.

        They share the cost of becoming durable. One that fails has its exception for an answer and harms no other.
        """

    def release_owner(self, owner: str, *, lapsed: bool = False) -> int:
        """Return at once what the owner's leases hold; the number of leases. No death.

        lapsed: the owner is gone and was not asked to go, which counts a lapse on their spans.
        """

    def release_all(self) -> int:
        """Return what every lease holds: the owning process just started, so no worker can hold one."""

    def reap(self) -> Sequence[str]:
        """Return what expired leases hold, counting a lapse on their spans; the ids of the leases."""

    # Moving runs. Each is conditional on the state and raises RunNotFound or InvalidTransition.

    def settle(self, run_id: str, outcomes: Sequence[Outcome]) -> None:
        """Record outcomes found while ``validating``; those items leave their spans."""

    def start(self, run_id: str) -> None:
        """validating → in_progress."""

    def cancel(self, run_id: str, *, also: Also | None = None) -> Run:
        """→ cancelling. Cancelling or cancelled: unchanged. completed, failed, expired: InvalidTransition."""

    def end(self, run_id: str, ending: Ending, error: Problem | None = None) -> None:
        """Stop a validating or in-progress run: → finalizing with ``ending`` failed or expired."""

    def pause(self, run_id: str, reason: str) -> None: ...

    def resume(self, run_id: str) -> None:
        """Clear the pause reason."""

    def extend(self, run_id: str, *, max_cost: int | None = None, also: Also | None = None) -> Run:
        """Release held items and clear the pause; InvalidTransition unless in progress or validating.

        max_cost: the new bound of what the run may cost; without it, the bound of a run that reached it goes.
        """

    def fund(self, run_id: str) -> Funding:
        """Go on with a run that paused for want of credit, if there is some again. ``exhausted``: there is none, and no lease
        of the run holds any that could come back; ``waiting``: one does, or the run cost what it may."""

    def sweep(self, run_id: str, status: ItemStatus, problem: Problem, limit: int = 10_000) -> int:
        """Give up to ``limit`` unleased items of an ending run the outcome ``status`` with ``problem``; the number written."""

    def fence(self, run_id: str) -> int:
        """Take away every lease of an ending run (the grace is over); the number of leases."""

    def finalize(self, run_id: str) -> bool:
        """in_progress → finalizing when no item is left without an outcome. False: something is left. Also True if already finalizing or cancelling with nothing left."""

    def finish(self, run_id: str, manifest: Manifest) -> Run:
        """finalizing or cancelling, nothing left → its terminal state, with its manifest."""

    # Reading

    def get(self, run_id: str) -> Run | None:
        """None for an unknown, receiving or purged run."""

    def find(
        self,
        workspace_id: str,
        *,
        kind: str | None = None,
        state: RunState | None = None,
        limit: int = 20,
        after: str | None = None,
    ) -> Sequence[Run]:
        """Newest first, those older than run ``after``."""

    def unfinished(self) -> Sequence[Run]:
        """Every visible run that is not terminal, of all workspaces, oldest first."""

    def children(self, run_id: str) -> Sequence[Run]:
        """Every run whose root is this run's root, oldest first, without the root."""

    def items(self, run_id: str, *, after: int = -1, limit: int = 10_000) -> Sequence[tuple[int, str, bytes]]:
        """(seq, custom_id, payload) in submission order."""

    def item(self, run_id: str, custom_id: str) -> ItemRecord | None: ...

    def results(
        self,
        run_id: str,
        *,
        after: int = -1,
        status: ItemStatus | None = None,
        limit: int = 5_000,
        partial: bool = False,
        lineage: bool = False,
    ) -> ResultChunk:
        """Whole result lines in submission order from seq ``after`` on, about ``limit`` lines or 1 MiB, whichever is less.

        partial: stop before the first item without an outcome. lineage: each item's newest outcome among the run and
        its retries. An empty chunk means the end. Lines kept as blobs come as ``@sha256`` lines for the caller to fill in.
        """

    def results_by_completion(
        self, run_id: str, *, after: int = -1, status: ItemStatus | None = None, limit: int = 5_000
    ) -> ResultChunk:
        """Result lines as they were committed; each line carries its ``cursor``."""

    def failures(self, run_id: str, *, examples: int = 3, lineage: bool = False) -> Sequence[FailureGroup]:
        """Errored, canceled and expired items by type of problem, the largest group first."""

    def failed_items(
        self,
        run_id: str,
        *,
        types: frozenset[str] | None = None,
        custom_ids: frozenset[str] | None = None,
        after: int = -1,
        limit: int = 10_000,
    ) -> Sequence[tuple[int, str, bytes]]:
        """(origin seq in the root, custom_id, payload) of items whose newest outcome in the lineage is no success."""

    def held_by_children(self, run_id: str, custom_ids: Iterable[str]) -> Sequence[str]:
        """Those of the custom_ids that an unfinished run of the same lineage holds."""

    def manifest(self, run_id: str) -> Manifest | None: ...

    def conservation(self, run_id: str) -> Conservation: ...

    def backlog(self) -> Mapping[str, float]:
        """For metrics: ``pending``, ``leased``, ``deferred`` items, ``runs`` unfinished, ``next_due_seconds`` until a deferred item is due (inf: none)."""

    # Upstreams

    def calm(self, upstream: str, seconds: float) -> None:
        """Remember that nobody is to call an upstream for so long from now; a longer time already remembered stays."""

    def cool_downs(self) -> Mapping[str, float]:
        """upstream → seconds left, of those that are not to be called now. By the wall clock: they outlast a restart."""

    # Credits, a workspace's

    def top_up(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        """Add the entry's amount to its workspace's balance. ValueError unless it is a top-up of more than nothing."""

    def charge(self, entry: CreditEntry, *, also: Also | None = None) -> None:
        """Take the entry's amount, which is negative, from its workspace's balance, whatever that is. For work that is no run's;
        ValueError for another entry."""

    def credit(self, workspace_id: str) -> CreditStanding: ...

    def credit_entries(self, workspace_id: str, *, limit: int = 20, after: str | None = None) -> Sequence[CreditEntry]:
        """Newest first, those older than entry ``after``."""

    # Retention

    def outdated(
        self, *, lines_before: float, runs_before: float, limit: int = 100
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Terminal runs of all workspaces whose time is up, oldest first, at most ``limit`` each: those of lineages whose
        newest end lies before ``lines_before`` and that still have their lines, and those of lineages whose newest end lies
        before ``runs_before``."""

    def delete_lines(self, run_id: str) -> None:
        """Mark the result lines deleted now; ``clean`` removes them. InvalidTransition unless terminal."""

    def delete_run(self, run_id: str) -> None:
        """Forget the run whole; ``clean`` removes its rows. InvalidTransition unless terminal."""

    def references(self, digests: Iterable[str]) -> set[str]:
        """Those of the blobs (SHA-256 in hex) that a payload or a result line points to."""

    def close(self) -> None: ...
