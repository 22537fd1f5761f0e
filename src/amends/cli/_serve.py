"""``amends serve``: the server on a data directory, until it is told to stop."""

from __future__ import annotations

import os
from typing import Any

from ._connection import as_local_failure, server_extra
from ._exits import BadUsage
from ._options import Common


def serve(common: Common, flags: dict[str, Any]) -> int:
    """Serve until SIGTERM or SIGINT; a second signal does not wait for running work."""
    if common.server:
        raise BadUsage("amends serve is a server: --server has no meaning here")
    with server_extra():
        from amends.server import owner
        from amends.server.settings import SettingsError, load_settings
        from amends.web import PAGES
    try:
        settings = load_settings(flags={**flags, "data": common.data}, environ=os.environ, config=common.config)
    except SettingsError as error:
        raise BadUsage(str(error)) from error
    with as_local_failure(settings):
        return owner.serve(settings, pages=PAGES) or 0
