"""What can be seen and done about runs that are there: ``runs``, ``results``, ``failures``, ``cancel``, ``expire``, ``purge``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from amends.client import Run

from ._connection import connect
from ._console import counts_line, local_time
from ._exits import BadUsage
from ._failures import show_failures
from ._inputs import Inputs, read_inputs
from ._options import Common
from ._results import Status, write_joined, write_results
from ._run import counts_of
from ._tables import check_output


def list_runs(common: Common, *, limit: int, status: str | None) -> None:
    """The newest runs."""
    words = common.words
    with connect(common) as connection:
        page = connection.client.runs.list(limit=limit, status=status)
    if words.is_json:
        words.document([run.model_dump(mode="json") for run in page.data])
    else:
        words.table(
            ("run", "status", "model", "created", "items"),
            (
                (run.id, _status(run), run.model, local_time(run.created_at), counts_line(counts_of(run)))
                for run in page.data
            ),
        )


def _status(run: Run) -> str:
    return f"paused: {run.paused_reason}" if run.paused_reason else str(run.status)


def results(
    common: Common, run_id: str, *, output: Path | None, join: bool, is_partial: bool, status: Status | None
) -> None:
    """The merged result lines of a run and its retries; ``join``: into the manifest that the run was made from."""
    if output is not None:
        check_output(output)
    with connect(common) as connection:
        if not join:
            write_results(connection.client, run_id, output, common.words, is_partial=is_partial, status=status)
            return
        source = connection.sources.recall(run_id)
        if source.manifest is None or output is None:
            raise BadUsage("--join needs -o and a run that was made from a manifest here")
        inputs: Inputs = read_inputs([source.manifest])
        if inputs.table is not None:
            write_joined(connection.client, run_id, inputs, inputs.table, output, common.words)


def failures(common: Common, run_id: str) -> None:
    """What failed, by type, with what to do."""
    words = common.words
    with connect(common) as connection:
        if words.is_json:
            words.document(connection.client.batch_predictions.failures(run_id).model_dump(mode="json"))
        else:
            show_failures(connection.client, run_id, words.data, common)


def act(common: Common, run_id: str, action: Literal["cancel", "expire", "purge"]) -> None:
    """Do to a run what the name says, and show how it stands then. An owner of its own stays until the run has ended."""
    words = common.words
    with connect(common, moves_runs=action != "purge") as connection:
        run: Run = getattr(connection.client.runs, action)(run_id)
        if connection.is_embedded and not run.is_ended:
            run = connection.client.runs.wait(run_id)
    if words.is_json:
        words.document(run.model_dump(mode="json"))
    else:
        words.data(f"{run.id} {run.status}: {counts_line(counts_of(run))}")
