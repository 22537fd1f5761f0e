"""Failures grouped under their slug, with what to do and the command that does it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

from amends.client import Client

from ._options import Common

EXAMPLES = 3


def show_failures(client: Client, run_id: str, say: Callable[[str], None], common: Common) -> None:
    """Say what failed and why, most frequent first, each group with its remedy and its command."""
    for group in client.batch_predictions.failures(run_id).data:
        say("")
        say(f"{group.slug}  ×{group.count}  {group.title}")
        for example in group.examples[:EXAMPLES]:
            say(f"  {example.custom_id}: {example.detail}")
        if group.count > EXAMPLES:
            say(f"  … and {group.count - EXAMPLES:,} more")
        say(f"  What to do: {group.remedy.hint}")
        say(f"  $ {retry_command(run_id, group, common)}")


def retry_command(run_id: str, group: Any, common: Common) -> str:
    """The command that tries a group of failures again."""
    return f"amends retry {run_id} --type {shlex.quote(group.slug)}{common.repeated()}"
