"""Write docs/reference from what the program itself says: commands, catalogue, settings, OpenAPI, transitions.

Run by ``make docs``; the pages are not kept, so they cannot grow old.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2

from amends.cli._app import app
from amends.cli._options import twin_of
from amends.problems import CATALOGUE, Row
from amends.server.settings import Settings

HERE = Path(__file__).parent
REFERENCE = HERE / "reference"

PROMISED = (
    "Not authenticated",
    "Invalid authentication credentials",
    "Token has expired",
    "Duplicate custom_id 'X' in batch",
    "items must contain at least one item",
    "File 'X' does not exist or is not accessible from this workspace.",
    "Batch prediction results are no longer available because they were deleted after the retention period.",
    "Collection not found",
    "You do not have permission to delete this collection",
    "Rate limit exceeded. Try again in N seconds.",
    "Too many batch prediction requests are already in progress for this workspace.",
    "An unexpected error occurred",
    "Service temporarily unavailable. Please try again later.",
)
MET = {"E": "as a response", "B": "on a batch", "L": "in a result line"}


def cell(value: Any) -> str:
    """Text for a cell of a Markdown table."""
    return " ".join(str(value).replace("|", "\\|").split())


def cli_page() -> str:
    """Every command with its help, as the program itself prints it."""
    lead = (
        "# Command line\n\n"
        f"Each flag has one environment twin: `--no-auth` is `{twin_of('--no-auth')}`. A flag that is given wins. Data goes to stdout, "
        "talk to stderr. [Exit codes](../howto/run.md#exit-codes).\n\n"
    )
    text = app.generate_docs(output_format="markdown", heading_level=2)
    return lead + text


def problem_lines(row: Row) -> Iterator[str]:
    """The section of one type."""
    remedy = row.remedy
    yield f"## {row.slug}"
    yield f"**{row.status} {row.title}**, met {' and '.join(MET[place] for place in sorted(row.where))}. {row.meaning}"
    yield f"Cause: {row.cause}"
    yield f"What to do: {remedy.hint}"
    yield (
        f"Action `{remedy.action}`, {'may be' if remedy.retryable else 'not to be'} retried as it is, fault `{remedy.fault}`. "
        f"Codes: {', '.join(f'`{code}`' for code in row.error_codes)}. "
        f"SDK: {f'`{row.exception}`' if row.exception else 'the problem of an item'}."
    )
    if row.stages:
        yield "| stage | what to do |\n| --- | --- |\n" + "\n".join(
            f"| `{stage}` | {cell(verdict.hint)} |" for stage, verdict in row.stages.items()
        )
    yield f"Provoke it: {row.provoke} In [test mode](../howto/testing.md): {' or '.join(f'`{one}`' for one in row.simulations)}."


def problems_page() -> str:
    """The whole catalogue."""
    parts = [
        "# Problems",
        (
            "Everything that can go wrong, as `application/problem+json` (RFC 9457). The `type` of a problem is the address of its page on "
            "your server, `/errors/{slug}`; compare its last part only. `amends explain SLUG` says the same in the terminal."
        ),
        "| type | status | met | meaning |\n| --- | --- | --- | --- |\n"
        + "\n".join(
            f"| [`{row.slug}`](#{row.slug}) | {row.status} | {cell(', '.join(MET[p] for p in sorted(row.where)))} | {cell(row.meaning)} |"
            for row in CATALOGUE.values()
        ),
        *(line for row in CATALOGUE.values() for line in problem_lines(row)),
        "## Promised sentences",
        "These are promised word for word; X and N stand for what they name, and `Collection` for any kind.",
        "\n".join(f"- `{sentence}`" for sentence in PROMISED),
    ]
    return "\n\n".join(parts) + "\n"


def settings_page() -> str:
    """Every setting with its variable and default."""
    rows = "\n".join(
        f"| `{one.name}` | `AMENDS_{one.name.replace('.', '_').upper()}` | `{cell(one.default)}` | {cell(one.doc)} |"
        for one in Settings().described()
    )
    return (
        "# Settings\n\nFrom `amends.toml` (`--config`, `AMENDS_CONFIG`, else in the working or the data directory), then `AMENDS_*`, then "
        "flags. In the file, `limits.nesting` is `nesting` in the table `[limits]`. `amends config` lists them with their values.\n\n"
        f"| setting | variable | default | meaning |\n| --- | --- | --- | --- |\n{rows}\n"
    )


def operation_lines(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    """The section of one operation."""
    yield f"### `{method.upper()} {path}`"
    yield operation.get("description") or operation.get("summary", "")
    parameters = operation.get("parameters", [])
    if parameters:
        yield "| parameter | in | required | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(
            f"| `{one['name']}` | {one['in']} | {'yes' if one.get('required') else 'no'} | {cell(one.get('description', ''))} |"
            for one in parameters
        )
    answers = operation.get("responses", {})
    yield "Answers: " + ", ".join(
        f"{status} {cell(one.get('description', ''))}".strip() for status, one in answers.items()
    )


def http_page(document: dict[str, Any]) -> str:
    """Every operation of the OpenAPI document."""
    parts = [
        "# HTTP API",
        (
            "From the server's own OpenAPI 3.1 document, which it answers at `/openapi.json`. Times are RFC 3339 in UTC. Lists take `limit` and "
            "`after` and are newest first. Every failure is a [problem](problems.md)."
        ),
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method in ("get", "post", "put", "patch", "delete", "head"):
                parts.extend(operation_lines(method, path, operation))
    return "\n\n".join(part for part in parts if part) + "\n"


def transitions_table(transitions: Mapping[Any, Mapping[Any, str]]) -> str:
    """state → those that may follow, each with what brings it about, as a table."""
    lines = ["| from | to | when |", "| --- | --- | --- |"]
    for state, followers in transitions.items():
        lines += [f"| `{state}` | `{follower}` | {cell(reason)} |" for follower, reason in followers.items()]
        if not followers:
            lines.append(f"| `{state}` | the end | |")
    return "\n".join(lines) + "\n"


def states_page() -> str:
    """The transitions of a run, from the table that the ledgers enforce."""
    from amends.engine import TRANSITIONS

    return transitions_table(TRANSITIONS)


def order_states_page() -> str:
    """The transitions of an order, from the table that the store enforces."""
    from amends.store import ORDER_TRANSITIONS

    return transitions_table(ORDER_TRANSITIONS)


def openapi_document() -> dict[str, Any]:
    """The document as a server answers it."""
    from amends.server.owner import Owner

    with tempfile.TemporaryDirectory() as place:
        settings = Settings().with_flags(data=Path(place, "data"))
        with (
            Owner(settings, engine=None) as owner,
            httpx2.Client(transport=httpx2.HTTPTransport(uds=str(owner.socket))) as http,
        ):
            document: dict[str, Any] = http.get("http://local/openapi.json").json()
            return document


def main() -> None:
    """Write every page."""
    REFERENCE.mkdir(exist_ok=True)
    document = openapi_document()
    pages = {
        "cli.md": cli_page(),
        "problems.md": problems_page(),
        "settings.md": settings_page(),
        "http.md": http_page(document),
        "states.md": states_page(),
        "order-states.md": order_states_page(),
    }
    for name, text in pages.items():
        (REFERENCE / name).write_text(text, "utf-8")
    (REFERENCE / "openapi.json").write_text(json.dumps(document, indent=1, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
