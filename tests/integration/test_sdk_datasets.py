"""Datasets through the SDK against a real server, by both clients: what stands, what fails and why, and what is sent how often."""

from __future__ import annotations

import asyncio
import pickle
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from amends import AsyncClient, Client, Datapoint, FailedUpload
from amends.client import Dataset, ResponseEvent
from amends.client import _adding as adding
from amends.client._bundles import BundleBody
from amends.exceptions import ConfigurationError, ConflictError, FailedUploadException, NotFoundError
from tests.hosts import Host, answer, running_host, silent
from tests.integration.test_datasets import impatient_engine
from tests.pictures import broken_picture, picture
from tests.servers import RunningServer, running_server

Added = tuple[list[Datapoint], list[FailedUpload]]
Add = Callable[..., Added]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    pages = {
        "/403": answer(b"no", "403 Forbidden"),
        "/html": answer(b"<html><body>Log in</body></html>", Content_Type="text/html"),
        "/inside": answer(b"", "302 Found", Location="http://10.1.2.3/"),
        "/silent": silent,
        "/good.jpg": answer(picture(90_001), Content_Type="image/jpeg"),
    }
    with running_host(pages) as running:
        yield running


@pytest.fixture(scope="module")
def fetching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    flags: dict[str, Any] = {"fetch__allow": ("127.0.0.1",), "fetch__total_seconds": 1.0, "engine": impatient_engine}
    with running_server(tmp_path_factory.mktemp("server") / "data", **flags) as running:
        yield running


@pytest.fixture
def client(fetching: RunningServer) -> Iterator[Client]:
    with Client(fetching.key, fetching.base_url) as opened:
        yield opened


@pytest.fixture
def dataset(client: Client) -> Dataset:
    return client.datasets.create(uuid4().hex)


@pytest.fixture(params=["sync", "async"])
def add(request: pytest.FixtureRequest, fetching: RunningServer, dataset: Dataset) -> Add:
    """Adds to the dataset by one of the clients."""

    async def asynchronous(datapoints: list[Datapoint], **options: Any) -> Added:
        async with AsyncClient(fetching.key, fetching.base_url) as client:
            return await (await client.datasets.get(dataset.id)).add_datapoints(datapoints, **options)

    def run(datapoints: list[Datapoint], **options: Any) -> Added:
        if request.param == "sync":
            return dataset.add_datapoints(datapoints, **options)
        return asyncio.run(asynchronous(datapoints, **options))

    return run


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each content went on the wire, by SHA-256."""
    counts: Counter[str] = Counter()
    made = BundleBody.__init__

    def counted(self: BundleBody, lines: bytes, files: dict[str, bytes]) -> None:
        counts.update(list(files))
        made(self, lines, files)

    monkeypatch.setattr(BundleBody, "__init__", counted)
    return counts


def pictures(folder: Path, count: int) -> list[str]:
    """Pictures that the server has never seen."""
    folder.mkdir(exist_ok=True)
    first = uuid4().int
    paths = [folder / f"{number:05}.jpg" for number in range(count)]
    for number, path in enumerate(paths, first):
        path.write_bytes(picture(number, side=16))
    return list(map(str, paths))


def test_of_a_thousand_exactly_the_bad_ones_fail_each_with_its_stage(
    add: Add, dataset: Dataset, client: Client, tmp_path: Path, host: Host, request: pytest.FixtureRequest
) -> None:
    count = 1_000 if "sync]" in request.node.name and "async" not in request.node.name else 100
    good = pictures(tmp_path / "p", count)
    bad = {
        str(tmp_path / "missing.jpg"): ("read", None),
        str(tmp_path): ("read", None),
        str(tmp_path / "corrupt.jpg"): ("decode", 422),
        str(tmp_path / "text.jpg"): ("content_type", 422),
        host.url("/403"): ("download", 403),
        host.url("/html"): ("content_type", 200),
        host.url("/inside"): ("blocked", 422),
        host.url("/silent"): ("timeout", 422),
        "http://0x7f.1/": ("blocked", 422),
        "file_01m8ggzjmgdaxcwsj6kgyxv7yq": (None, 422),
    }
    (tmp_path / "corrupt.jpg").write_bytes(broken_picture(1))
    (tmp_path / "text.jpg").write_text("no picture")
    assets = [*good[: count // 2], *bad, host.url("/good.jpg"), *good[count // 2 :]]
    given = [Datapoint(asset) for asset in assets]
    succeeded, failed = add(given)
    assert {str(one.item.asset): (one.stage, one.http_status) for one in failed} == bad
    assert succeeded == [one for one in given if one.asset not in bad]
    assert client.datasets.get(dataset.id).datapoint_count == count + 1
    stored = list(dataset.datapoints(limit=100))
    names = {str(path).rpartition("/")[2] for path in [*good, "good.jpg"]}
    assert {one.assets[0].filename for one in stored} == names
    # The failed ones are taken as they are listed, and fail again; nothing else is touched.
    succeeded, again = add(failed[:3])
    assert (succeeded, [one.item for one in again]) == ([], [one.item for one in failed[:3]])


def test_each_content_is_sent_once_however_many_show_it(
    add: Add, dataset: Dataset, tmp_path: Path, sent: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_PACK_LINES", 7)
    monkeypatch.setattr(adding, "_PACK_FILES", 5)
    paths = pictures(tmp_path / "p", 12)
    (tmp_path / "p" / "twin.jpg").write_bytes(Path(paths[0]).read_bytes())
    pairs = [Datapoint([one, other]) for one in [*paths, str(tmp_path / "p" / "twin.jpg")] for other in paths]
    succeeded, failed = add(pairs)
    assert (len(succeeded), failed) == (len(pairs), [])
    assert sent == dict.fromkeys(sent, 1)
    assert len(sent) == 12
    assert len(list(dataset.datapoints(limit=100))) == 12 * 12  # the twin's are the same
    add([Datapoint(path, context="once more") for path in paths])
    assert sent.total() == 12


def test_what_is_shown_beside_a_broken_file_is_kept_for_who_else_shows_it(
    add: Add, dataset: Dataset, tmp_path: Path, sent: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_PACK_LINES", 1)
    (good,) = pictures(tmp_path / "p", 1)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(broken_picture(uuid4().int))
    given = [Datapoint([good, str(broken)]), Datapoint(good), Datapoint(str(broken), context="again")]
    succeeded, failed = add(given)
    assert (succeeded, [one.item for one in failed]) == ([given[1]], [given[0], given[2]])
    assert [one.stage for one in failed] == ["decode", "decode"]
    broken.write_bytes(picture(uuid4().int))
    assert len(add(failed)[0]) == 2
    assert sorted(sent.values()) == [1, 1, 1]


def test_no_more_runs_fetch_at_once_than_a_workspace_may_have(
    add: Add, host: Host, fetching: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_PACK_LINES", 2)
    monkeypatch.setattr(adding, "_MOST_RUNS", 3)
    most: list[int] = []
    unsettled = fetching.owner.services.store.fetches.unsettled
    paths = [f"/{uuid4().hex}" for _ in range(40)]
    host.pages |= dict.fromkeys(paths, answer(picture(uuid4().int), Content_Type="image/jpeg"))

    def watched(limit: int = 100) -> Any:
        found = unsettled(limit)
        most.append(len(found))
        return found

    monkeypatch.setattr(fetching.owner.services.store.fetches, "unsettled", watched)
    succeeded, failed = add([Datapoint(host.url(path)) for path in paths])
    assert (len(succeeded), failed) == (40, [])
    assert 0 < max(most) <= 3 + 4  # those that were sent meanwhile


def test_a_large_file_goes_ahead_in_parts_and_stands_as_an_asset(
    add: Add, dataset: Dataset, client: Client, tmp_path: Path, sent: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_LARGE_BYTES", 1_000)
    small, large = tmp_path / "small.png", tmp_path / "large.jpg"
    small.write_bytes(picture(uuid4().int, "PNG", side=10))
    large.write_bytes(picture(uuid4().int, side=64))
    succeeded, failed = add([Datapoint([str(small), str(large)]), Datapoint(str(large), context="again")])
    assert (len(succeeded), failed) == (2, [])
    assert len(sent) == 1
    again, first = dataset.datapoints().data
    assert [one.filename for one in first.assets] == ["small.png", "large.jpg"]
    assert first.assets[1].sha256 == again.assets[0].sha256
    assert first.assets[1].bytes == large.stat().st_size


def test_beyond_the_tolerance_it_raises_with_what_stands_and_retries_only_the_failed(
    dataset: Dataset, client: Client, tmp_path: Path, sent: Counter[str]
) -> None:
    good = pictures(tmp_path / "p", 9)
    late = tmp_path / "late.jpg"
    given = [Datapoint(asset) for asset in (*good, str(late))]
    assert len(dataset.add_datapoints(given, failure_tolerance=0.1)[1]) == 1
    with pytest.raises(FailedUploadException) as raised:
        dataset.add_datapoints(given, failure_tolerance=0.0)
    error = raised.value
    assert (error.failed_uploads, error.total, error.dataset) == (given[9:], 10, dataset)
    assert (error.job_definition, error.order) == (None, None)
    with pytest.raises(FailedUploadException):
        error.retry()
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.dataset.id, copy.failed_uploads) == (dataset.id, error.failed_uploads)
    with pytest.raises(ConfigurationError, match=r"client\.datasets\.get"):
        copy.dataset.datapoints()
    late.write_bytes(picture(4_100, side=24))
    assert error.retry() is dataset
    assert client.datasets.get(dataset.id).datapoint_count == 10
    assert sent.total() == 10
    for tolerance in (-0.1, 1.1):
        with pytest.raises(ValueError, match="fraction"):
            dataset.add_datapoints([], failure_tolerance=tolerance)


def test_the_async_exception_is_retried_by_awaiting(fetching: RunningServer, tmp_path: Path) -> None:
    late = tmp_path / "late.jpg"

    async def program() -> int | None:
        async with AsyncClient(fetching.key, fetching.base_url) as client:
            dataset = await client.datasets.create(uuid4().hex)
            with pytest.raises(FailedUploadException) as raised:
                await dataset.add_datapoints([Datapoint(str(late)), Datapoint("b", "text")], failure_tolerance=0)
            late.write_bytes(picture(4_200, side=24))
            assert await raised.value.retry() is dataset
            return (await client.datasets.get(dataset.name or "")).datapoint_count

    assert asyncio.run(program()) == 2


def test_datasets_are_found_by_name_and_id_listed_and_deleted(client: Client, dataset: Dataset) -> None:
    assert dataset.name is not None
    for found in (client.datasets.get(dataset.id), client.datasets.get(dataset.name)):
        assert (found.id, found.datapoint_count) == (dataset.id, 0)
    assert dataset.id in [one.id for one in client.datasets.list()]
    with pytest.raises(ConflictError):
        client.datasets.create(dataset.name)
    assert client.datasets.delete(dataset.id).deleted
    for name in (dataset.id, dataset.name):
        with pytest.raises(NotFoundError, match="Dataset not found"):
            client.datasets.get(name)


def test_with_a_journal_a_second_run_asks_only_for_what_failed(
    fetching: RunningServer, tmp_path: Path, host: Host, sent: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adding, "_PACK_LINES", 10)
    late = f"/{uuid4().hex}"
    given = [Datapoint(asset) for asset in (*pictures(tmp_path / "p", 30), host.url(late))]
    name, asked = uuid4().hex, []

    def note(event: ResponseEvent) -> None:
        asked.append(f"{event.method} {event.path.rpartition('/')[2]}")

    def program() -> tuple[int, int]:
        client = Client(fetching.key, fetching.base_url, journal=tmp_path / "journal", on_response=note)
        succeeded, failed = client.datasets.create(name).add_datapoints(given)
        client.close()  # and not by the end of a block: the journal keeps what it holds
        return len(succeeded), len(failed)

    assert (program(), asked.count("POST datapoints"), sent.total()) == ((30, 1), 4, 30)
    asked.clear()
    host.pages[late] = answer(picture(uuid4().int), Content_Type="image/jpeg")
    assert (program(), asked.count("POST datapoints"), sent.total()) == ((31, 0), 1, 30)


def test_nothing_is_shown_where_it_is_to_be_quiet_and_nothing_but_on_a_terminal(
    dataset: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    for quiet in (True, False):
        dataset.add_datapoints([Datapoint(f"text {quiet}", "text")], quiet=quiet)
    said = capfd.readouterr()
    # The server of this process has a log, which goes wherever standard output went when it was started.
    assert [line for line in (said.out + said.err).splitlines() if " [info " not in line] == []


def test_memory_does_not_grow_with_what_is_sent(dataset: Dataset, tmp_path: Path) -> None:
    noise = picture(6_000, "PNG", side=400)  # half a megabyte, hardly compressed
    paths = []
    for number in range(160):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(noise + number.to_bytes(4, "big"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    succeeded, _ = dataset.add_datapoints([Datapoint(str(path)) for path in paths])
    assert len(succeeded) == len(paths)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024
