"""Failures grouped under their slug, with what to do and the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from amends.client import Client, FailureGroup

from ._options import Common

EXAMPLES = 3


def show_failures(client: Client, run_id: str, say: Callable[[str], None], common: Common) -> None:
    """Say what failed and why, most frequent first, each group with its remedy and its command."""
    for group in client.batch_predictions.failures(run_id).data:
        say("")
        say(f"{group.slug}  ×{group.count}  {group.title}")
        for example in group.examples[:EXAMPLES]:
            say(f"  {example.custom_id}: {example.detail}")
        if (more := (group.count or 0) - EXAMPLES) > 0:
            say(f"  … and {more:,} more")
        say(f"  What to do: {(group.remedy or {}).get('hint', 'see amends explain ' + str(group.slug))}")
        say(f"  $ {retry_command(run_id, group, common)}")


def retry_command(run_id: str, group: FailureGroup, common: Common) -> str:
    """The command that tries a group of failures again."""
    return f"amends retry {run_id} --type {shlex.quote(group.slug or '')}{common.repeated()}"
