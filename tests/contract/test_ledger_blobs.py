"""The ledger knows which blobs its payloads and lines point to, so that only the others are deleted."""

from __future__ import annotations

from amends.ledger import Commit, Ledger, Manifest, NewItem, Outcome
from tests.ledgers import claim, create, read

PAYLOAD, LINE, NOBODY = "a" * 64, "b" * 64, "c" * 64


def test_a_blob_is_referenced_as_long_as_a_payload_or_a_line_points_to_it(ledger: Ledger) -> None:
    run = create(ledger, [NewItem("one", b"@" + PAYLOAD.encode(), b"x"), NewItem("two", b"{}", b"y")])
    everything = [PAYLOAD, LINE, NOBODY]
    assert ledger.references(everything) == {PAYLOAD}

    lease = claim(ledger)
    outcomes = [
        Outcome(0, "succeeded", None, 1, 1, b"@" + LINE.encode()),
        Outcome(1, "succeeded", None, 1, 1, b'"custom_id":"two"}'),
    ]
    assert ledger.commit(Commit(lease.id, outcomes, final=True))
    assert ledger.references(everything) == {PAYLOAD, LINE}

    assert ledger.finalize(run.id)
    ledger.finish(run.id, Manifest(read(ledger, run).counts, 2, "", ()))
    ledger.delete_lines(run.id)
    clean(ledger)
    assert ledger.references(everything) == {PAYLOAD}

    ledger.delete_run(run.id)
    clean(ledger)
    assert ledger.references(everything) == set()


def clean(ledger: Ledger) -> None:
    while ledger.clean():
        continue
