"""Datasets: what is shown to people who label it, the contents that it consists of, and what makes two datapoints the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from typing import Any, Literal, NamedTuple

import msgspec

from amends.database import Database, Transaction, load_queries, new_id

QUERIES = load_queries(__package__, "datasets.sql")

_encode = msgspec.json.Encoder().encode

DataType = Literal["media", "text"]
AssetKind = Literal["file", "url", "text"]

CLEARED_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset. datapoints: how many it has."""

    id: str
    workspace_id: str
    name: str
    created_by: str | None
    created_at: float
    datapoints: int = 0


@dataclass(frozen=True, slots=True)
class Asset:
    """One thing of a datapoint: content that is stored here, sent or fetched, or a text.

    sha256, media_type, bytes: of the content, None of a text. filename: as it was sent, or as the URL has it. url: where it was
    fetched. width, height: of an image as it is shown, None of anything else.
    """

    kind: AssetKind
    sha256: str | None = None
    media_type: str | None = None
    bytes: int | None = None
    filename: str | None = None
    url: str | None = None
    text: str | None = None
    width: int | None = None
    height: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Its members that are not None, as JSON has them."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    @property
    def identity(self) -> str:
        """By what it is the same as another: a URL stays the same whatever it leads to."""
        if self.kind == "text":
            return f"text:{self.text}"
        return f"url:{self.url}" if self.kind == "url" else f"sha256:{self.sha256}"


class Content(NamedTuple):
    """What was found out about stored bytes."""

    sha256: str
    media_type: str
    bytes: int
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True)
class NewDatapoint:
    """A datapoint as somebody adds it."""

    data_type: DataType
    assets: tuple[Asset, ...]
    context: str | None = None
    media_context: tuple[Asset, ...] = ()
    sentence: str | None = None
    private_metadata: Mapping[str, Any] | None = None
    group: str | None = None
    answer_options: tuple[str, ...] | None = None

    @cached_property
    def identity(self) -> str:
        """SHA-256 in hex over all by which it is the same as another one of its dataset."""
        shown = [[asset.identity for asset in assets] for assets in (self.assets, self.media_context)]
        stated = [self.data_type, *shown, self.context, self.sentence, self.group]
        return hashlib.sha256(json.dumps(stated).encode()).hexdigest()

    def to_json(self) -> str:
        """All of it, as ``from_json`` reads it."""
        members = {field.name: getattr(self, field.name) for field in fields(self)}
        members |= {name: [asset.to_dict() for asset in members[name]] for name in ("assets", "media_context")}
        return _text({name: value for name, value in members.items() if value is not None})

    @classmethod
    def from_json(cls, text: str) -> NewDatapoint:
        members = json.loads(text)
        for name in ("assets", "media_context"):
            members[name] = tuple(Asset(**asset) for asset in members[name])
        if members.get("answer_options") is not None:
            members["answer_options"] = tuple(members["answer_options"])
        return cls(**members)


@dataclass(frozen=True, slots=True)
class DatapointRecord:
    """A datapoint as it stands. seq: its place in its dataset, from 1."""

    id: str
    dataset_id: str
    seq: int
    identity: str
    data_type: DataType
    assets: tuple[Asset, ...]
    context: str | None
    media_context: tuple[Asset, ...]
    sentence: str | None
    private_metadata: Mapping[str, Any] | None
    group: str | None
    answer_options: tuple[str, ...] | None
    created_at: float


class Added(NamedTuple):
    """What became of a datapoint that was added. is_new: False for one that stood already."""

    id: str
    is_new: bool


class Datasets:
    """Every question that names a workspace is bound to it; a deleted dataset is gone at once, its rows by and by."""

    def __init__(self, database: Database, *, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def add(self, tx: Transaction, dataset: DatasetRecord) -> bool:
        """Make it; False where the workspace has one of that name."""
        names = ("id", "workspace_id", "name", "created_by", "created_at")
        tx.execute(QUERIES.insert_dataset, {name: getattr(dataset, name) for name in names})
        return tx.changes == 1

    def get(self, workspace_id: str, dataset_id: str) -> DatasetRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_dataset, {"id": dataset_id, "workspace_id": workspace_id})
        return DatasetRecord(*row) if row else None

    def named(self, workspace_id: str, name: str) -> DatasetRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.named_dataset, {"name": name, "workspace_id": workspace_id})
        return DatasetRecord(*row) if row else None

    def find(self, workspace_id: str, *, limit: int, after: str | None = None) -> list[DatasetRecord]:
        """The workspace's datasets, newest first, those older than the dataset ``after``."""
        values = {"workspace_id": workspace_id, "limit": limit, "after": after}
        with self._database.read() as tx:
            return [DatasetRecord(*row) for row in tx.execute(QUERIES.list_datasets, values)]

    def delete(self, tx: Transaction, workspace_id: str, dataset_id: str) -> bool:
        """Make it invisible and its name free; whether it was there."""
        tx.execute(QUERIES.delete_dataset, {"id": dataset_id, "workspace_id": workspace_id, "now": self._now()})
        return tx.changes == 1

    def stands(self, tx: Transaction, dataset_id: str) -> bool:
        """Whether it is there, and stays so until the transaction ends."""
        tx.lock(QUERIES.lock_dataset, (dataset_id,))
        return tx.value(QUERIES.is_standing, {"id": dataset_id}) is not None

    def deleted(self, limit: int = 100) -> list[str]:
        """Deleted datasets that still have rows."""
        with self._database.read() as tx:
            return [row[0] for row in tx.execute(QUERIES.deleted_datasets, {"limit": limit})]

    def clear(self, tx: Transaction, dataset_id: str, limit: int = CLEARED_AT_ONCE) -> bool:
        """Remove some rows of a deleted dataset, in the end itself; whether anything was left."""
        for query in (QUERIES.clear_datapoints, QUERIES.clear_assets, QUERIES.clear_urls):
            tx.execute(query, {"dataset_id": dataset_id, "limit": limit})
            if tx.changes:
                return True
        tx.execute(QUERIES.clear_dataset, {"dataset_id": dataset_id})
        return False

    def count(self, dataset_id: str) -> int:
        """How many datapoints it has."""
        with self._database.read() as tx:
            return int(tx.value(QUERIES.count_datapoints, (dataset_id,)) or 0)

    def datapoint(self, workspace_id: str, datapoint_id: str) -> DatapointRecord | None:
        with self._database.read() as tx:
            row = tx.one(QUERIES.get_datapoint, {"id": datapoint_id, "workspace_id": workspace_id})
        return _record(row) if row else None

    def datapoints(self, dataset_id: str, after_seq: int = 0, limit: int = 1_000) -> list[DatapointRecord]:
        """The datapoints in the order in which they were added, those behind ``after_seq``."""
        values = {"dataset_id": dataset_id, "after_seq": after_seq, "limit": limit}
        with self._database.read() as tx:
            return [_record(row) for row in tx.execute(QUERIES.list_datapoints, values)]

    def datapoints_at(self, dataset_id: str, seqs: Iterable[int]) -> list[DatapointRecord]:
        """The datapoints of these seqs, in their order."""
        values = {"dataset_id": dataset_id, "seqs": json.dumps(list(seqs))}
        with self._database.read() as tx:
            return [_record(row) for row in tx.execute(QUERIES.datapoints_at, values)]

    def newest_datapoints(self, dataset_id: str, *, limit: int, after: str | None = None) -> list[DatapointRecord]:
        """The datapoints newest first, those older than the datapoint ``after``."""
        values = {"dataset_id": dataset_id, "after": after, "limit": limit}
        with self._database.read() as tx:
            return [_record(row) for row in tx.execute(QUERIES.newest_datapoints, values)]

    def add_datapoints(self, tx: Transaction, dataset_id: str, given: Sequence[NewDatapoint]) -> list[Added] | None:
        """Add those that do not stand yet; what became of each, in order. None: the dataset is gone.

        The contents of their assets are in the dataset already, see ``add_contents``.
        """
        tx.lock(QUERIES.lock_dataset, (dataset_id,))
        identities = [datapoint.identity for datapoint in given]
        known = self._known_identities(tx, dataset_id, identities)
        now, fresh, added = self._now(), [], []
        for identity, datapoint in zip(identities, given, strict=True):
            is_new = identity not in known
            if is_new:
                known[identity] = new_id("dp_", now=now)
                fresh.append((known[identity], identity, datapoint))
            added.append(Added(known[identity], is_new))
        tx.execute(QUERIES.take_places, {"id": dataset_id, "places": len(fresh)})
        if tx.changes != 1:
            return None
        last = int(tx.value(QUERIES.count_datapoints, (dataset_id,)))
        rows = [_row(*one, seq) for seq, one in enumerate(fresh, last - len(fresh) + 1)]
        if rows:
            tx.insert_rows(QUERIES.insert_datapoints, (dataset_id, now), 11, list(chain.from_iterable(rows)))
        return added

    def standing(self, dataset_id: str, identities: Sequence[str]) -> dict[str, str]:
        """The ids of the datapoints that stand, by their identities."""
        with self._database.read() as tx:
            return self._known_identities(tx, dataset_id, identities)

    def add_contents(self, tx: Transaction, dataset_id: str, workspace_id: str, contents: Iterable[Content]) -> None:
        """Let the dataset have these contents; from then on nothing sweeps them."""
        rows = {content.sha256: content for content in contents}
        if rows:
            tx.insert_rows(
                QUERIES.insert_assets, (dataset_id, workspace_id), 5, list(chain.from_iterable(rows.values()))
            )

    def known_contents(self, tx: Transaction, workspace_id: str, digests: Iterable[str]) -> dict[str, Content]:
        """Those of the contents that any dataset of the workspace has, by their hashes."""
        values = {"workspace_id": workspace_id, "digests": json.dumps(list(dict.fromkeys(digests)))}
        return {row[0]: Content(*row) for row in json.loads(tx.value(QUERIES.known_assets, values))}

    def contents(self, workspace_id: str, digests: Iterable[str]) -> dict[str, Content]:
        """``known_contents`` as it stands now."""
        with self._database.read() as tx:
            return self.known_contents(tx, workspace_id, digests)

    def used(self, digests: Iterable[str]) -> set[str]:
        """Those of the hashes that any dataset, of any workspace, has as a content."""
        with self._database.read() as tx:
            return set(json.loads(tx.value(QUERIES.used_blobs, {"digests": json.dumps(list(digests))})))

    def _known_identities(self, tx: Transaction, dataset_id: str, identities: Sequence[str]) -> dict[str, str]:
        values = {"dataset_id": dataset_id, "identities": json.dumps(identities)}
        return dict(json.loads(tx.value(QUERIES.known_identities, values)))


def _row(datapoint_id: str, identity: str, datapoint: NewDatapoint, seq: int) -> tuple[Any, ...]:
    metadata, options = datapoint.private_metadata, datapoint.answer_options
    return (
        datapoint_id,
        seq,
        identity,
        datapoint.data_type,
        _said(datapoint.assets),
        datapoint.context,
        _said(datapoint.media_context),
        datapoint.sentence,
        None if metadata is None else _text(dict(metadata)),
        datapoint.group,
        None if options is None else _text(list(options)),
    )


def _record(row: Sequence[Any]) -> DatapointRecord:
    (
        id,
        dataset_id,
        seq,
        identity,
        data_type,
        assets,
        context,
        media_context,
        sentence,
        metadata,
        group,
        options,
        at,
    ) = row
    return DatapointRecord(
        id,
        dataset_id,
        seq,
        identity,
        data_type,
        _assets(assets),
        context,
        _assets(media_context),
        sentence,
        None if metadata is None else json.loads(metadata),
        group,
        None if options is None else tuple(json.loads(options)),
        at,
    )


def _said(assets: Sequence[Asset]) -> str:
    return _encode([asset.to_dict() for asset in assets]).decode()


_assets = msgspec.json.Decoder(tuple[Asset, ...]).decode


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
