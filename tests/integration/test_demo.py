"""``make demo``, as ``make`` calls it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import Commands

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.timeout(300)
def test_demo_ends_with_0_and_shows_what_it_is_to_show() -> None:
    """It checks its own counts: every sound input succeeds, every broken one fails for its own reason."""
    found = subprocess.run(
        (sys.executable, "examples/demo.py"),
        cwd=ROOT,
        env=Commands(ROOT)._environ({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    for shown in (
        "49 real inputs and 10 broken ones",
        "file_not_found  ×1",
        "unsupported_file_format  ×1",
        "What to do: ",
        "amends retry ",
        "34 succeeded, 6 errored",
        "SHA-256",
    ):
        assert shown in said
