"""Items that harm whatever works on them, among many that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.engines import ROOT, ended, lines, own_ledger, running_engine, submit

GOOD = 2_000
POISON = {
    "exits": "WORKER_CRASHED",
    "segfaults": "WORKER_CRASHED",
    "eats": "ITEM_OUT_OF_MEMORY",
    "hangs": "ITEM_TIMED_OUT",
}


@pytest.mark.timeout(120)
def test_four_poison_items_among_two_thousand_end_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    inputs: list[dict[str, Any]] = [{} for _ in range(GOOD)]
    for place, behaves in enumerate(POISON):
        inputs.insert(300 + 450 * place, {"behaves": behaves})
    settings = {"item_timeout_seconds": 2.0, "item_memory_bytes": 300 << 20}
    with own_ledger(tmp_path) as ledger, running_engine(ledger, tmp_path, **settings) as engine:
        run_id = submit(ledger, inputs)
        engine.wake()
        run = ended(ledger, run_id, 90)
        found = lines(ledger, run_id)
        assert (run.state, run.counts.succeeded, run.counts.errored) == ("completed", GOOD, len(POISON))
        for number, said in enumerate(inputs):
            line, record = found[f"c{number}"], ledger.item(run_id, f"c{number}")
            assert record is not None
            if "behaves" in said:
                assert line["error"]["error_code"] == POISON[said["behaves"]]
                assert line["error"]["deaths"] == record.deaths == 3
            else:
                assert line["status"] == "succeeded"
                assert record.deaths <= 1
