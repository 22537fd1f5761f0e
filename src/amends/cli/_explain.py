"""``amends explain``: a problem type of the catalogue, in words. Needs no server."""

from __future__ import annotations

import difflib

from amends.problems import CATALOGUE, Row

from ._console import Words
from ._exits import BadUsage

_MET = {"E": "as a response", "B": "on a batch", "L": "in a result line"}


def explain(name: str | None, words: Words) -> None:
    """Explain one type by its slug, its error code or its address; without a name, list them all."""
    if name is None:
        _list(words)
        return
    row, code = _find(name)
    remedy = row.remedy_for(code)
    if words.is_json:
        words.document({**row.to_dict(), "remedy": remedy.to_dict()})
        return
    words.data(f"{row.slug} ({row.status}) {row.title}\n")
    words.data(f"Meaning     {row.meaning}")
    words.data(f"Cause       {row.cause}")
    words.data(f"What to do  {remedy.hint}")
    words.data(
        f"Try again   {'yes' if remedy.retryable else 'no, not as it is'}; at fault: {remedy.fault}; action: {remedy.action}"
    )
    words.data(f"Met         {', '.join(_MET[place] for place in sorted(row.where))}")
    words.data(f"Codes       {', '.join(row.error_codes)}")
    words.data(f"Exception   {row.exception or 'none: it reaches the SDK as the problem of an item'}")
    words.data(f"Provoke it  {row.provoke}")
    words.data(f"Test mode   {' or '.join(row.simulations)}")


def _list(words: Words) -> None:
    if words.is_json:
        words.document([row.to_dict() for row in CATALOGUE.values()])
    else:
        words.table(("slug", "status", "meaning"), ((row.slug, row.status, row.meaning) for row in CATALOGUE.values()))


def _find(name: str) -> tuple[Row, str]:
    """The row, and the error code where that was named: what to do may differ by it."""
    slug = name.rstrip("/").rsplit("/", 1)[-1].lower()
    if slug in CATALOGUE:
        return CATALOGUE[slug], ""
    for row in CATALOGUE.values():
        if row.admits(slug.upper()):
            return row, slug.upper()
    near = difflib.get_close_matches(slug, CATALOGUE, n=1)
    raise BadUsage(
        f"No problem type {name!r}" + (f"; did you mean {near[0]}?" if near else "; amends explain lists them")
    )
