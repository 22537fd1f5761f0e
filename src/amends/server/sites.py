"""Where an application is to be had: sockets, and the thread that answers on them."""

from __future__ import annotations

import asyncio
import socket as sockets
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from amends.server.directory import StartError
from amends.server.settings import ServerSettings

_THREADS = 32
# Longer than clients keep idle connections, so that it is they who close them and no request meets a closing one.
_KEEP_ALIVE_SECONDS = 75


class CannotListen(StartError):
    """The address cannot be listened on."""


@contextmanager
def listening(settings: ServerSettings) -> Iterator[sockets.socket]:
    """The TCP socket, bound before anything else is touched. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = sockets.getaddrinfo(
            settings.host, settings.port, type=sockets.SOCK_STREAM, flags=sockets.AI_PASSIVE
        )[0]
        listener = sockets.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(f"{settings.host} is no address to listen on: {error.strerror or error}") from error
    with listener:
        if settings.no_auth and not ip_address(address[0]).is_loopback:
            raise CannotListen(f"--no-auth works on loopback only, and {settings.host} is not")
        listener.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            reason = (
                "is in use"
                if error.errno == 98 or "in use" in str(error)
                else f"cannot be had: {error.strerror or error}"
            )
            raise CannotListen(f"Port {settings.port} of {settings.host} {reason}") from error
        listener.listen(2_048)
        yield listener


def url_of(listener: sockets.socket, settings: ServerSettings) -> str:
    """The address that this machine reaches it at."""
    address, port = listener.getsockname()[:2]
    host = ip_address(address)
    if host.is_unspecified:
        host = ip_address("::1" if host.version == 6 else "127.0.0.1")
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if host.version == 6 else host}:{port}"


class AsOwner:
    """Marks what comes through the local socket, whose file only the directory's user can open."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "state": {**scope.get("state", {}), "is_local": True}}, receive, send)


class Site(uvicorn.Server):
    """The application on one socket. Signals are the business of ``serve``."""

    def __init__(
        self,
        app: ASGIApp,
        listener: sockets.socket,
        protocol: type[asyncio.Protocol],
        grace_seconds: float,
        settings: ServerSettings | None = None,
    ) -> None:
        self.listener = listener
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                proxy_headers=settings is not None,
                forwarded_allow_ips=settings.forwarded_allow_ips if settings else None,
                ssl_certfile=settings.tls_certificate if settings else None,
                ssl_keyfile=settings.tls_key if settings else None,
                timeout_graceful_shutdown=max(1, round(grace_seconds)),
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Front:
    """The thread that answers requests, on every site."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = sites
        self._thread = threading.Thread(target=self._run, name="amends-http", daemon=True)
        self._started = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Return when every site answers."""
        self._thread.start()
        self._started.wait()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Take no more connections, let answers under way finish within the grace."""
        for site in self._sites:
            site.should_exit = True
        self._thread.join()
        for site in self._sites:
            site.listener.close()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="amends-work"))
        tasks = [asyncio.create_task(site.serve(sockets=[site.listener])) for site in self._sites]
        while not all(site.started for site in self._sites) and not any(task.done() for task in tasks):  # noqa: ASYNC110 uvicorn has a flag, no event
            await asyncio.sleep(0.005)
        self._started.set()
        await asyncio.gather(*tasks)
