"""One small route, bare or behind everything that a request to Amends passes: ``serve.py bare|amends LOG_LEVEL DATA``.

Both on uvicorn with uvloop and httptools, in one process. Announces port, key and process id; serves until standard input
closes.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException

from amends.problems import ProblemError, not_found

FILE = {"id": "file_01J0000000000000000000000", "object": "file", "filename": "invoice.pdf", "bytes": 120_000}


def bare() -> tuple[FastAPI, str, Any]:
    app = FastAPI()

    @app.get("/v1/things/{thing_id}")
    async def get_thing(thing_id: str) -> dict[str, Any]:
        if thing_id == "missing":
            raise HTTPException(404, "Thing not found")
        return FILE

    return app, "none", "auto"


def behind_everything(level: str, data: Path) -> tuple[FastAPI, str, Any]:
    from amends.server.app import create_app
    from amends.server.logs import configure_logs
    from amends.server.owner import Owner
    from amends.server.protocol import protocol_for
    from amends.server.routing import Route
    from amends.server.settings import Settings

    router = APIRouter(prefix="/v1/things", route_class=Route)

    @router.get("/{thing_id}")
    async def get_thing(thing_id: str) -> dict[str, Any]:
        if thing_id == "missing":
            raise ProblemError(not_found("thing", thing_id))
        return FILE

    configure_logs("text", level)
    settings = Settings().with_flags(data=data, port=0, limits__reads_per_minute=1_000_000_000)
    owner = Owner(settings, listen=True, engine=None)
    owner.__enter__()  # until this process ends
    assert owner.first_key is not None
    app = create_app(owner.services, routes=router.routes)
    protocol = protocol_for(owner.services.public_url, settings.limits.header_bytes)
    return app, owner.first_key.secret, protocol


def main() -> None:
    kind, level, data = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    app, key, protocol = bare() if kind == "bare" else behind_everything(level, data)
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_input, args=(server,), daemon=True).start()
    print(json.dumps({"port": listener.getsockname()[1], "key": key, "pid": os.getpid()}), flush=True)
    server.run(sockets=[listener])


def _stop_with_input(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
