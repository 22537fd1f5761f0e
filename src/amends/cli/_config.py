"""``amends config``: every setting, what it is and where that comes from."""

from __future__ import annotations

from amends.server.settings import Settings

from ._console import Words


def config(settings: Settings, words: Words) -> None:
    """List the settings with value, source and meaning."""
    found = list(settings.described())
    if words.is_json:
        words.document(
            [
                {"name": one.name, "value": one.value, "default": one.default, "source": one.source, "doc": one.doc}
                for one in found
            ]
        )
    else:
        words.table(
            ("setting", "value", "source", "meaning"), ((one.name, one.value, one.source, one.doc) for one in found)
        )
