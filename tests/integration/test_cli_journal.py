"""``amends journal``: what programs have under way is shown, and forgotten on demand; uploads of ``amends run`` go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amends import Client
from amends.client import Journal
from amends.exceptions import AuthError
from amends.testing import FakeTransport, Reply
from tests.commands import Commands


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "amends" / "journals"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def amends(tmp_path: Path, journals: Path) -> Commands:
    return Commands(tmp_path, {"XDG_STATE_HOME": str(tmp_path / "state")})


def interrupted(path: Path) -> None:
    """A program that stored one file and was killed while it sent another."""
    me, stored = Reply(json={"workspace_id": "ws_1", "mode": "live"}), Reply(json={"id": "file_1"})
    transport = FakeTransport(me, stored, *[Reply(401)])
    client = Client("k", http_client=transport.http_client(), journal=path)
    client.files.upload(b"a")
    with pytest.raises(AuthError):
        client.files.upload(b"bb")
    client.close()


def test_what_is_under_way_is_shown_and_forgotten(amends: Commands, journals: Path, tmp_path: Path) -> None:
    assert "No journals in" in amends("journal").err
    interrupted(journals / "load-1.journal")
    interrupted(tmp_path / "own")
    shown = amends("journal")
    assert shown.code == 0, shown.err
    assert "load-1.journal: 1 under way, 1 finished" in shown.out
    assert "files.upload" in shown.out
    assert "0 of 2 bytes" in shown.out
    assert "own" not in shown.out
    (document,) = amends("journal", "--json").document
    done, open_ = document["entries"]
    assert (done["resource_id"], open_["finished_at"], open_["total"]) == ("file_1", None, 2)
    assert "1 under way" in amends("journal", str(tmp_path / "own")).out

    cleared = amends("journal", "clear")
    assert (cleared.code, "load-1.journal: 2 entries" in cleared.err) == (0, True), cleared.err
    assert list(journals.iterdir()) == []
    assert (tmp_path / "own").exists()
    assert amends("journal", "clear", str(tmp_path / "own"), "--json").document[0]["entries"] == 2
    assert not (tmp_path / "own").exists()


def nothing(path: Path) -> Any:
    return None


def text(path: Path) -> Any:
    path.write_text("dear diary")


@pytest.mark.parametrize(("command", "make", "sentence"), [
    ((), nothing, "There is no journal at"),
    (("clear",), nothing, "There is no journal at"),
    ((), text, "is no journal, or a damaged one"),
    (("clear",), text, "is no journal, or a damaged one"),
    (("clear",), Journal, "is held by another client (process"),
])  # fmt: skip
def test_what_stands_in_the_way_is_one_line_and_1(
    amends: Commands, tmp_path: Path, command: tuple[str, ...], make: Any, sentence: str
) -> None:
    path = tmp_path / "file"
    held = make(path)
    ended = amends("journal", *command, str(path))
    assert (ended.code, ended.err.count("\n")) == (1, 1), ended.err
    assert sentence in ended.err
    assert path.exists() == (make is not nothing)
    if held:
        held.close()
