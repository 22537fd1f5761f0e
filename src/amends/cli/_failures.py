"""Failures grouped under their slug, with what to do and the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from amends.client import Client, FailureGroup
from amends.problems import CATALOGUE

from ._options import Common

EXAMPLES = 3


def show_failures(client: Client, run_id: str, say: Callable[[str], None], common: Common) -> None:
    """Say what failed and why, most frequent first, each group with its remedy and its command."""
    groups = client.batch_predictions.failures(run_id).data
    if not groups:
        common.words.say("Nothing failed")
    for group in groups:
        say("")
        say(f"{group.slug}  ×{group.count}  {group.title}")
        for example in group.examples[:EXAMPLES]:
            say(f"  {example.custom_id}: {example.detail}")
        if (more := (group.count or 0) - EXAMPLES) > 0:
            say(f"  … and {more:,} more")
        for hint in _hints(group):
            say(f"  What to do: {hint}")
        needs_mending = (group.remedy or {}).get("action") == "fix_input"
        say(f"  {'Then:' if needs_mending else 'Command:'} {retry_command(run_id, group, common)}")


def _hints(group: FailureGroup) -> Iterable[str]:
    """What to do about each cause shown: failures of one type may need different things, by their codes."""
    row = CATALOGUE.get(group.slug or "")
    shown = group.examples[:EXAMPLES]
    if row is None or not shown:
        return [str((group.remedy or {}).get("hint", ""))]
    return dict.fromkeys(row.remedy_for(example.error_code or "").hint for example in shown)


def retry_command(run_id: str, group: FailureGroup, common: Common) -> str:
    """The command that tries a group of failures again."""
    return f"amends retry {run_id} --type {shlex.quote(group.slug or '')}{common.repeated()}"
