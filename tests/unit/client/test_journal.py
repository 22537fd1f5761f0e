"""The journal's file: what it refuses, what it keeps, who may hold it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amends import Client
from amends.client import Journal, read_journal
from amends.client._entries import SentIds
from amends.client._journal_places import journal_name, state_folder
from amends.exceptions import ConfigurationError
from amends.testing import FakeTransport, Reply


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = Journal(path)
    opened.identity = "ws_1 live"
    yield opened
    opened.close()


def begin(journal: Journal, content: str = "aa", **more: Any) -> Any:
    return journal.begin("files.upload", content, ["a.txt"], **more)


def again(journal: Journal) -> Journal:
    """The journal as the program's next run finds it."""
    journal.close()
    opened = Journal(journal.path)
    opened.identity = journal.identity
    return opened


def spoil(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


# Keys


def test_the_next_run_makes_the_same_keys_for_the_same_calls_in_the_same_order(journal: Journal) -> None:
    first = [begin(journal), begin(journal), begin(journal, "bb")]
    assert len({entry.key for entry in first}) == 3
    assert [entry.ordinal for entry in first] == [0, 1, 0]
    journal = again(journal)
    other_order = [begin(journal, "bb"), begin(journal), begin(journal)]
    assert [entry.key for entry in other_order] == [first[2].key, first[0].key, first[1].key]
    assert all(entry.answer is None for entry in other_order)
    journal.close()


def test_keys_survive_entries_that_were_lost(journal: Journal, path: Path) -> None:
    key = begin(journal).key
    journal.close()
    spoil(path, "delete from entry")
    journal = again(journal)
    assert begin(journal).key == key
    journal.close()


def test_another_workspace_other_parameters_and_another_key_are_other_calls(journal: Journal) -> None:
    keys = {begin(journal).key, journal.begin("files.upload", "aa", ["b.txt"]).key, begin(journal, key="mine").key}
    journal.identity = "ws_2 live"
    keys.add(begin(journal).key)
    assert len(keys) == 4
    assert "mine" in keys


def test_an_answer_is_given_again_and_gone_once_the_journal_is_cleared(journal: Journal) -> None:
    entry = begin(journal)
    journal.finish(entry, b'{"id": "file_1"}')
    journal = again(journal)
    assert begin(journal).answer == b'{"id": "file_1"}'
    assert begin(journal).answer is None, "the second equal call is another one"
    journal.clear()
    new = begin(journal)
    assert (new.ordinal, new.answer) == (0, None)
    assert new.key != entry.key
    journal.close()


def test_the_custom_ids_of_a_batch_are_kept_with_it(journal: Journal) -> None:
    sent = SentIds()
    names = [f"größe {number}" for number in range(25_000)]
    for name in names:
        sent.add(name)
    entry = journal.begin("POST /v1/batch-predictions", "cc", None, sent=sent)
    journal.finish(entry, b'{"id": "bpred_1"}')
    assert journal.custom_ids("bpred_1") == names
    assert journal.custom_ids("bpred_2") is None


# The file


def test_a_journal_can_be_read_while_it_is_held_and_says_what_is_under_way(journal: Journal, path: Path) -> None:
    done, open_ = begin(journal, total=10), begin(journal, "bb", total=100)
    journal.note(open_, 40)
    journal.finish(done, b'{"id": "file_1"}')
    first, second = read_journal(path)
    assert (first.resource_id, first.received, first.total) == ("file_1", 10, 10)
    assert (second.resource_id, second.received, second.total, second.finished_at) == (None, 40, 100, None)
    assert second.key == open_.key


def test_a_held_journal_is_refused_to_another_client_and_names_the_holder(journal: Journal, path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"held by another client \(process {os.getpid()}\)"):
        Journal(path)
    script = "import sys; from amends.client import Journal; from pathlib import Path; Journal(Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
    assert "ConfigurationError" in other.stderr
    assert f"process {os.getpid()}" in other.stderr
    journal.close()
    Journal(path).close()


def test_a_fork_may_not_use_the_journal(journal: Journal) -> None:
    journal._process = os.getpid() + 1
    with pytest.raises(ConfigurationError, match="fork"):
        begin(journal)
    journal._process = os.getpid()


def corrupt(path: Path) -> None:
    Journal(path).close()
    content = bytearray(path.read_bytes())
    content[4_096:] = os.urandom(len(content) - 4_096)
    path.write_bytes(content)


SPOILT: dict[str, tuple[Any, str]] = {
    "text": (lambda path: path.write_text("dear diary, " * 1_000), "is no journal, or a damaged one"),
    "another database": (lambda path: spoil(path, "create table cookies (name text)"), "database of something else"),
    "a newer journal": (
        lambda path: (Journal(path).close(), spoil(path, "pragma user_version = 2")),
        "is of version 2, and this version of Amends knows 1: install the newer one",
    ),
    "damaged pages": (corrupt, "is no journal, or a damaged one"),
    "a folder": (lambda path: path.mkdir(), "cannot be written: Is a directory"),
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_no_journal_is_refused_and_left_as_it_is(path: Path, spoilt: str) -> None:
    spoiling, sentence = SPOILT[spoilt]
    spoiling(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigurationError, match=sentence):
        begin(Journal(path))
    assert (path.read_bytes() if path.is_file() else None) == before
    assert not path.with_name("journal.lock").exists(), "it is held no longer"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written: No such file or directory"):
        Journal(tmp_path / "missing" / "journal")


def test_a_file_system_that_is_read_only_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("amends.client._locking.os.open", refuse)
    with pytest.raises(ConfigurationError, match="cannot be written: Read-only file system"):
        Journal(tmp_path / "journal")


def test_on_a_full_disk_nothing_is_sent_and_what_was_sent_is_not_lost(path: Path) -> None:
    transport = FakeTransport(Reply(json={"workspace_id": "ws_1", "mode": "live"}), Reply(json={"id": "file_1"}))
    client = Client("k", http_client=transport.http_client(), journal=path)
    journal = client._context.journal
    assert journal
    assert client.files.upload(b"there is room for this").id == "file_1"
    pages = journal._connection.execute("pragma page_count").fetchone()[0]
    journal._connection.execute(f"pragma max_page_count = {pages}")
    transport._script += [Reply(json={"id": f"file_{number}"}) for number in range(1_000)]
    with pytest.raises(ConfigurationError, match=r"the disk is full\. Nothing was sent"):
        client.files.upload_many(f"and for {number}".encode() for number in range(1_000))
    client.close()
    assert 2 < len(transport.requests) < 900, "what could not be written down was not sent"
    assert read_journal(path)[0].resource_id == "file_1"


def test_an_answer_that_cannot_be_written_down_is_given_all_the_same(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    entry = begin(journal)
    pages = journal._connection.execute("pragma page_count").fetchone()[0]
    journal._connection.execute(f"pragma max_page_count = {pages}")
    journal.finish(entry, b'{"id": "file_1", "filename": "' + b"x" * 100_000 + b'"}')
    assert [record.message for record in caplog.records] == ["journal_not_written"]
    journal = again(journal)
    assert begin(journal).key == entry.key
    journal.close()


# When it goes


def test_it_goes_when_the_block_ends_well_and_stays_when_it_does_not(path: Path) -> None:
    me, stored = Reply(json={"workspace_id": "ws_1", "mode": "live"}), Reply(json={"id": "file_1"})

    def client(*script: Reply) -> Client:
        return Client("k", http_client=FakeTransport(*script).http_client(), journal=path)

    def interrupted() -> None:
        with client(me, stored) as first:
            first.files.upload(b"a")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    second = client(me)
    assert second.files.upload(b"a").id == "file_1"
    second.close()
    assert len(read_journal(path)) == 1, "closing says nothing of whether the work is done"
    with client(me) as third:
        with third.with_options(timeout=5) as copy:
            assert copy.files.upload(b"a").id == "file_1"
        assert len(read_journal(path)) == 1, "a copy's block is not the program's"
    assert list(path.parent.iterdir()) == []


# Where it lies


def test_a_program_has_a_journal_of_its_own() -> None:
    name = journal_name(["/home/ada/load it.py", "--year", "2026"], "/home/ada")
    assert name.startswith("load-it-")
    assert name.endswith(".journal")
    others = [
        journal_name(["/home/ada/load it.py", "--year", "2027"], "/home/ada"),
        journal_name(["/home/ada/load it.py", "--year", "2026"], "/srv"),
        journal_name(["/home/ada/other.py", "--year", "2026"], "/home/ada"),
        journal_name([""], "/home/ada"),
    ]
    assert len({name, *others}) == 5
    assert journal_name(["/home/ada/load it.py", "--year", "2026"], "/home/ada") == name


def test_journals_lie_in_the_state_folder_of_the_user() -> None:
    home = Path("/home/ada")
    assert state_folder({}, "linux", home) == home / ".local/state/amends/journals"
    assert state_folder({"XDG_STATE_HOME": "/state"}, "linux", home) == Path("/state/amends/journals")
    assert state_folder({"XDG_STATE_HOME": "relative"}, "linux", home) == home / ".local/state/amends/journals"
    assert state_folder({"LOCALAPPDATA": "/local"}, "win32", home) == Path("/local/amends/journals")


def test_true_takes_the_programs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    client = Client("k", journal=True)
    (found,) = (tmp_path / "amends" / "journals").glob("*.journal")
    assert found.stat().st_mode & 0o777 == 0o600
    assert found.parent.stat().st_mode & 0o777 == 0o700
    client.close()
