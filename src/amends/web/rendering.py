"""From values to a page: the templates, their filters, and the headers that every page carries."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from amends.ledger import CREDIT, Counts, Run
from amends.web import plots
from amends.web.static_files import FILES
from amends.web.summing import words_of

HEADERS: Final[Mapping[str, str]] = {
    # No inline script or style, nothing from anywhere else: what somebody's data might smuggle into a page cannot run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: under that browsers send forms with the Origin null, which tells a form of ours from nobody's.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",
}
_UNITS: Final = ("bytes", "kB", "MB", "GB", "TB")


def render(template: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A page of that template."""
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(values), status, HEADERS)


def time(at: float | str | None) -> Markup:
    """A moment, in seconds since the epoch or RFC 3339, as UTC; a script shows it in the reader's own zone."""
    if at is None:
        return Markup('<span class="quiet">–</span>')
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    exact, shown = moment.strftime("%Y-%m-%dT%H:%M:%SZ"), moment.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(exact, shown)


def duration(seconds: float | None) -> str:
    """A span of time in the two largest units that matter."""
    if seconds is None:
        return "–"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def number(value: float | None) -> str:
    """A number with its thousands apart; up to six places where it is no whole one."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.6f}".rstrip("0")


def size(count: int) -> str:
    """Bytes in a unit that people read."""
    value = float(count)
    for unit in _UNITS:
        if value < 1_000 or unit == _UNITS[-1]:
            return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:,.1f} {unit}"
        value /= 1_000
    raise AssertionError("the last unit takes whatever is left")


def percent(part: float | None) -> str:
    """A fraction as a percentage that says 100 only of all."""
    if part is None:
        return "–"
    return f"{min(part, 0.999) * 100 if part < 1 else 100:.{0 if part in (0, 1) else 1}f} %"


def fraction(part: int, whole: int) -> str:
    """How much of the whole that is, see ``percent``."""
    return percent(part / whole) if whole else "–"


def pretty(value: Any) -> str:
    """JSON as people read it."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def with_code(text: str) -> Markup:
    """A sentence of the catalogue, in which code stands between backticks."""
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(text.split("`"))
    )


def compact(value: Any, most: int = 240) -> str:
    """JSON on one line, cut off."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else text[: most - 1] + "…"


def credits(amount: int) -> str:
    """An amount of the ledger's in credits."""
    return number(amount / CREDIT)


def elapsed(run: Run, now: float) -> str:
    """How long a run has taken, or takes."""
    return duration((run.ended_at or now) - run.created_at)


def counts_bar(counts: Counts) -> Markup:
    """A run's counts as a bar, with the words for who cannot see it."""
    parts = [
        ("good", counts.succeeded, "succeeded"),
        ("bad", counts.errored, "errored"),
        ("warn", counts.expired, "expired"),
        ("idle", counts.canceled, "canceled"),
    ]
    return plots.bar(parts, counts.total)


def done_bar(done: int, total: int) -> Markup:
    """How many of some tasks are done, as a bar."""
    return plots.bar([("good", done, "done")], total)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("amends.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        one.__name__: one
        for one in (
            time,
            duration,
            number,
            size,
            percent,
            pretty,
            with_code,
            compact,
            credits,
            elapsed,
            counts_bar,
            done_bar,
        )
    }
    made.filters["answer_words"] = words_of
    made.globals |= {"static": FILES.address, "fraction": fraction, "once": lambda: secrets.token_hex(16)}
    return made


_ENVIRONMENT: Final = _environment()
