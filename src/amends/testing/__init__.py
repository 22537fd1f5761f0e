"""What tests of our own and of our users run on: a clock, a scripted transport, a simulated installation.

Names load when they are first used: the fakes of the SDK need none of the server's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door

if TYPE_CHECKING:
    from ._clock import FakeClock
    from ._simulate import PromiseBroken, Report, simulate
    from ._transport import FakeTransport, RecordedRequest, Reply

_HOME_OF = {
    "FakeClock": "._clock",
    "FakeTransport": "._transport",
    "PromiseBroken": "._simulate",
    "RecordedRequest": "._transport",
    "Reply": "._transport",
    "Report": "._simulate",
    "simulate": "._simulate",
}

__all__ = ["FakeClock", "FakeTransport", "PromiseBroken", "RecordedRequest", "Reply", "Report", "simulate"]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
