"""What tests of our own and of our users run on: a clock, a scripted transport, a simulated installation.

Names load when they are first used: the fakes of the SDK need none of the server's libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._clock import FakeClock
    from ._simulate import PromiseBroken, Report, simulate
    from ._transport import FakeTransport, RecordedRequest, Reply

_HOME_OF = {
    "FakeClock": "_clock",
    "FakeTransport": "_transport",
    "PromiseBroken": "_simulate",
    "RecordedRequest": "_transport",
    "Reply": "_transport",
    "Report": "_simulate",
    "simulate": "_simulate",
}

__all__ = ["FakeClock", "FakeTransport", "PromiseBroken", "RecordedRequest", "Reply", "Report", "simulate"]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
