"""Taking over what workers fetched, and letting the datapoints stand that waited for it.

A thread looks at every fetching run, one after the other; what it has done is in the store, so that dying at any moment loses nothing::

    outcomes of the run ─► contents are the dataset's (as they come) ─► the run has ended ─► datapoints stand or fail, some at a time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import msgspec

from amends.database import Transaction
from amends.ledger import InvalidTransition, RunNotFound, filled_lines
from amends.problems import asset_failed
from amends.server.assets import fetched
from amends.server.rounds import LATE_SECONDS, Rounds
from amends.server.services import Services
from amends.store import Asset, Content, Fetched, FetchRecord, NewDatapoint, WaitingOutcome

_LOOK_SECONDS: Final = 0.1
"""How late the end of a run is noticed."""
_SLICE: Final = 500


class _Line(msgspec.Struct, gc=False):
    custom_id: str
    output: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Missing(NamedTuple):
    """A datapoint that cannot stand: which of its assets is missing, and why."""

    pointer: str
    problem: Mapping[str, Any]


_decode = msgspec.json.Decoder(_Line).decode


class FetchClerk(Rounds):
    """A thread that looks at what is fetched. What is under way when it is closed goes on with the next owner."""

    def __init__(self, hub: Services) -> None:
        self._hub = hub
        super().__init__(
            "fetches",
            self._look_at_all,
            event="fetch_not_seen_to",
            told=hub.new_fetch,
            soon_seconds=_LOOK_SECONDS,
            late_seconds=LATE_SECONDS,
        )

    def see_to(self, fetch: FetchRecord) -> None:
        """Bring one as far as it goes now."""
        run = self._hub.ledger.get(fetch.run_id)
        if self._hub.store.datasets.get(fetch.workspace_id, fetch.dataset_id) is None:
            self._give_up(fetch.run_id)
            return
        # Looked at before its lines are read: then those of one that has ended are all there.
        has_ended = run is None or run.is_terminal
        self._take_over(fetch)
        while has_ended and not self.stopping.is_set() and self._hub.database.write(lambda tx: self._settle(tx, fetch)):
            pass

    def _look_at_all(self) -> bool:
        fetches = self._hub.store.fetches.unsettled()
        for fetch in fetches:
            if self.stopping.is_set():
                break
            if self.is_left_alone(fetch.run_id):
                continue
            try:
                self.see_to(fetch)
            except Exception as error:
                self.put_off(fetch.run_id, error, run_id=fetch.run_id)
        return bool(fetches)

    def _give_up(self, run_id: str) -> None:
        """The dataset is gone."""
        try:
            self._hub.ledger.cancel(run_id)
        except (InvalidTransition, RunNotFound):
            pass  # it has ended by itself
        self._hub.database.write(lambda tx: self._hub.store.fetches.forget(tx, run_id))

    def _take_over(self, fetch: FetchRecord) -> None:
        while not self.stopping.is_set():
            chunk = self._chunk(fetch)
            if chunk is None:
                return
            lines, last = chunk
            urls = self._hub.store.fetches.urls(fetch.run_id, [int(line.custom_id) for line in lines])
            found = {urls[int(line.custom_id)]: _fetched(line.output) for line in lines if line.output is not None}
            problems = {int(line.custom_id): line.error for line in lines if line.error is not None}

            def write(
                tx: Transaction,
                fetch: FetchRecord = fetch,
                found: dict[str, Fetched] = found,
                problems: dict[int, dict[str, Any]] = problems,
                last: int = last,
            ) -> None:
                if not self._hub.store.datasets.stands(tx, fetch.dataset_id):
                    return  # deleted just now: its contents would stay for ever
                contents = [one.content for one in found.values()]
                self._hub.store.datasets.add_contents(tx, fetch.dataset_id, fetch.workspace_id, contents)
                self._hub.store.fetches.take_over(tx, fetch, found, problems, last)

            self._hub.database.write(write)
            fetch = replace(fetch, read_to=last)

    def _chunk(self, fetch: FetchRecord) -> tuple[list[_Line], int] | None:
        try:
            chunk = self._hub.ledger.results_by_completion(fetch.run_id, after=fetch.read_to)
        except RunNotFound:
            return None
        if chunk.last is None:
            return None
        lines = [
            _decode(line) for piece in filled_lines(chunk.lines, self._hub.blobs.get) for line in piece.splitlines()
        ]
        return lines, chunk.last

    def _settle(self, tx: Transaction, fetch: FetchRecord) -> bool:
        """Give some of the datapoints that wait their outcomes; whether there were any."""
        store = self._hub.store
        waiting = store.fetches.waiting(tx, fetch.run_id, _SLICE)
        if not waiting:
            store.fetches.finish(tx, fetch.run_id)
            return False
        urls = {url for _, datapoint in waiting for url in _urls(datapoint)}
        found = store.fetches.fetched(tx, fetch.dataset_id, urls)
        problems = store.fetches.problems(tx, fetch.run_id, urls - found.keys())
        made = [(index, self._made(fetch, datapoint, found, problems)) for index, datapoint in waiting]
        good = [(index, one) for index, one in made if isinstance(one, NewDatapoint)]
        added = store.datasets.add_datapoints(tx, fetch.dataset_id, [datapoint for _, datapoint in good])
        if added is None:
            return False  # deleted just now
        outcomes = [
            WaitingOutcome(index, "created" if one.is_new else "existing", one.id, None, None)
            for (index, _), one in zip(good, added, strict=True)
        ]
        outcomes += [
            WaitingOutcome(index, "failed", None, one.problem, one.pointer)
            for index, one in made
            if isinstance(one, _Missing)
        ]
        store.fetches.settle(tx, fetch.run_id, outcomes)
        return True

    def _made(
        self,
        fetch: FetchRecord,
        datapoint: NewDatapoint,
        found: Mapping[str, Fetched],
        problems: Mapping[str, Mapping[str, Any]],
    ) -> NewDatapoint | _Missing:
        whole: dict[str, tuple[Asset, ...]] = {}
        for name in ("assets", "media_context"):
            assets = []
            for index, asset in enumerate(getattr(datapoint, name)):
                if asset.url is not None and asset.sha256 is None:
                    if asset.url not in found:
                        return _Missing(f"/{name}/{index}", self._problem(fetch, problems.get(asset.url)))
                    asset = fetched(asset.url, found[asset.url])
                assets.append(asset)
            whole[name] = tuple(assets)
        return replace(datapoint, assets=whole["assets"], media_context=whole["media_context"])

    def _problem(self, fetch: FetchRecord, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """None: the run's lines are gone, by retention or since somebody purged them."""
        instance = f"/v1/datasets/{fetch.dataset_id}/fetches/{fetch.run_id}"
        if body is not None:
            return {**body, "instance": instance}
        lost = asset_failed("internal", "What became of the URL is not known any more", may_pass=True)
        return lost.replace(instance=instance).to_body(self._hub.public_url)


def _fetched(output: Mapping[str, Any]) -> Fetched:
    content = Content(*(output[name] for name in ("sha256", "media_type", "bytes", "width", "height")))
    return Fetched(content, output.get("filename"))


def _urls(datapoint: NewDatapoint) -> list[str]:
    assets = (*datapoint.assets, *datapoint.media_context)
    return [asset.url for asset in assets if asset.url is not None and asset.sha256 is None]
