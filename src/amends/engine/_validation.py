"""Looking over the items of a run before it starts, in slices."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from amends.engine.processor import Job, Processor
from amends.ledger import Ledger, Outcome, ResultLines, Run
from amends.problems import FieldError, Problem, ProblemError, validation_failed

log = logging.getLogger("amends.engine")

_SLICE_ITEMS: Final = 500
_ERRORS_KEPT: Final = 1_000


class Validation:
    """One run's validation: bad items end with their problem as they are found.

    A strict run with a bad item is ended as failed; the sweep gives the other items ``batch_validation_failed``.
    """

    def __init__(
        self,
        run: Run,
        processor: Processor,
        ledger: Ledger,
        read_blob: Callable[[str], bytes],
        settings: Mapping[str, Any],
    ) -> None:
        self._run = run
        self._processor = processor
        self._ledger = ledger
        self._read_blob = read_blob
        self._job = Job(run.id, run.mode, json.loads(run.params or b"{}"), settings)
        self._lines = ResultLines(run.id, run.request_id, run.public_url)
        self._after = self._last_settled()
        self._errors: list[FieldError] = []

    def step(self) -> bool:
        """Look over the next slice; False when the run has left ``validating``."""
        items = self._ledger.items(self._run.id, after=self._after, limit=_SLICE_ITEMS)
        if not items:
            self._conclude()
            return False
        faults = [(seq, name, fault) for seq, name, payload in items if (fault := self._fault(payload)) is not None]
        if faults:
            self._ledger.settle(self._run.id, [self._outcome(*fault) for fault in faults])
            self._note(faults)
        self._after = items[-1][0]
        return True

    def _last_settled(self) -> int:
        """Where a validation before this one stopped: bad items are settled in order."""
        last = -1
        if self._run.counts.ended:
            while (chunk := self._ledger.results(self._run.id, after=last)).last is not None:
                last = chunk.last
        return last

    def _fault(self, payload: bytes) -> Problem | None:
        try:
            whole = self._read_blob(payload[1:].decode()) if payload[:1] == b"@" else payload
            members: Mapping[str, Any] = json.loads(whole)
            return self._processor.validate(self._job, members)
        except ProblemError as error:
            return error.problem
        except Exception:  # no verdict: the item runs, and the child has the trouble where it harms nobody
            log.exception("validation_raised", extra={"run_id": self._run.id})
            return None

    def _outcome(self, seq: int, custom_id: str, fault: Problem) -> Outcome:
        return Outcome(seq, "errored", fault.slug, 0, 0, self._lines.ended(custom_id, "errored", fault))

    def _note(self, faults: list[tuple[int, str, Problem]]) -> None:
        room = _ERRORS_KEPT - len(self._errors)
        self._errors += [
            FieldError.at(("body", "items", seq), fault.detail, code=fault.slug, custom_id=custom_id)
            for seq, custom_id, fault in faults[:room]
        ]

    def _conclude(self) -> None:
        run = self._ledger.get(self._run.id)
        if run is None or run.state != "validating":
            return
        if run.validation == "strict" and run.counts.errored:
            self._ledger.end(run.id, "failed", validation_failed(self._errors, errors_total=run.counts.errored))
        else:
            self._ledger.start(run.id)
