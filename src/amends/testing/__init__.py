"""What tests of our own and of our users run on: a clock, a scripted transport, a server, faults, a simulated installation.

Names load when they are first used: the fakes of the SDK need none of the server's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door

if TYPE_CHECKING:
    from ._clock import FakeClock
    from ._faults import Fault, Lost, Troubled, draw_faults
    from ._proxy import FaultProxy
    from ._server import LocalServer, server
    from ._simulate import PromiseBroken, Report, simulate
    from ._transport import FakeTransport, RecordedRequest, Reply

_HOME_OF = {
    "FakeClock": "._clock",
    "FakeTransport": "._transport",
    "Fault": "._faults",
    "FaultProxy": "._proxy",
    "LocalServer": "._server",
    "Lost": "._faults",
    "PromiseBroken": "._simulate",
    "RecordedRequest": "._transport",
    "Reply": "._transport",
    "Report": "._simulate",
    "Troubled": "._faults",
    "draw_faults": "._faults",
    "server": "._server",
    "simulate": "._simulate",
}

__all__ = [
    "FakeClock",
    "FakeTransport",
    "Fault",
    "FaultProxy",
    "LocalServer",
    "Lost",
    "PromiseBroken",
    "RecordedRequest",
    "Reply",
    "Report",
    "Troubled",
    "draw_faults",
    "server",
    "simulate",
]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
