"""The examples of a partial failure, run as a reader would run them, against a real server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pictures import broken_picture, picture
from tests.servers import RunningServer, running_server

ROOT = Path(__file__).parent.parent.parent
COUNT = 12


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of pictures of which two are broken and one is missing, and the originals."""
    folder, originals = tmp_path / "street", tmp_path / "originals"
    folder.mkdir()
    originals.mkdir()
    for number in range(COUNT):
        (originals / f"{number:02}.jpg").write_bytes(picture(number))
        if number:
            (folder / f"{number:02}.jpg").write_bytes(broken_picture(number) if number < 3 else picture(number))
    return folder, originals


def run(example: str, server: RunningServer, cwd: Path, *arguments: Path) -> str:
    environ = {
        **os.environ,
        "AMENDS_API_KEY": server.key,
        "AMENDS_BASE_URL": server.base_url,
        "XDG_STATE_HOME": str(cwd),
    }
    command = [sys.executable, str(ROOT / "examples" / example), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_both_ways_on_from_a_partial_failure(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    folder, originals = folders
    with running_server(tmp_path / "data", engine=None) as server:
        said = run("datasets_go_on.py", server, tmp_path, folder)
        assert "2 of 11 datapoints failed" in said
        assert "stage 'decode'" in said
        assert re.search(r"^order_\w+ is running\.$", said, re.MULTILINE)
        said = run("datasets_fix_and_retry.py", server, tmp_path, folder, originals)
        *lines, last = said.splitlines()
        assert lines == ["2 failed at stage decode", "1 failed at stage read", "3 mended, 0 still fail"]
        assert re.fullmatch(r"order_\w+ is running with 12 pictures\.", last)
        with server.client() as http:
            orders = http.get("/v1/orders").json()["data"]
        assert {(one["counts"]["tasks"], one["status"]) for one in orders} == {(9, "running"), (12, "running")}
