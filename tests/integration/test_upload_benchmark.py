"""The benchmark of uploads still runs, with few files, and says what it is to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.upload import run as upload
from benchmarks.upload.host import running_host


@pytest.mark.parametrize("candidate", upload.CANDIDATES)
def test_each_way_is_measured(tmp_path: Path, candidate: str) -> None:
    with running_host() as host:
        bad = upload.make_pictures(tmp_path / "pictures", 24, 4)
        wanted = upload.assets(tmp_path / "pictures", 24, bad, host)
        found = upload.measure(candidate, tmp_path / "pictures", wanted, tmp_path)
    assert found["seconds"] > 0
    if candidate == "amends":
        assert found["datapoints"] == 18
        stages = {"read": 1, "decode": 1, "download": 1, "timeout": 1, "blocked": 1, "content_type": 1}
        assert found["failed"] == stages


def test_the_ratios_are_those_of_the_best_rounds() -> None:
    rounds = {
        "amends": [
            {"seconds": 4.0, "client_processor_seconds": 1.0, "server_processor_seconds": 1.0},
            {"seconds": 2.0},
        ],
        "one_by_one": [{"seconds": 30.0, "client_processor_seconds": 2.0, "server_processor_seconds": 6.0}],
        "copy": [{"seconds": 1.0}],
    }
    rounds["amends"][1] |= rounds["amends"][0] | {"seconds": 2.0}
    assert upload.compared(rounds) == {
        "one_by_one_by_the_clock": 15.0,
        "copy_by_the_clock": 0.5,
        "one_by_one_by_processor_time": 4.0,
    }
