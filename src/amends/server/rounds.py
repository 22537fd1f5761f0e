"""Threads that look after something, again and again, from ``start`` to ``close``."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from amends._trouble import Trouble

REST_SECONDS: Final = 5.0
"""What could not be seen to (a full disk, a database that is away) is tried again after so long."""
LATE_SECONDS: Final = 15.0
"""Who is told of everything there is to do looks after so long all the same."""


class Rounds:
    """A thread that calls ``look`` until it is closed.

    look: does what there is to do now; whether more may be soon, which is looked for after ``soon_seconds``. told: set by whoever
    makes something to do. After ``late_seconds`` it looks all the same. event: what the log says of a look that failed, after which it
    rests.
    """

    def __init__(
        self,
        name: str,
        look: Callable[[], bool],
        *,
        event: str,
        told: threading.Event,
        soon_seconds: float,
        late_seconds: float,
        rest_seconds: float = REST_SECONDS,
        logger: str = "amends.server",
    ) -> None:
        self.stopping = threading.Event()
        self._event = event
        self._look = look
        self._told = told
        self._soon_seconds = soon_seconds
        self._late_seconds = late_seconds
        self._rest_seconds = rest_seconds
        self._trouble = Trouble(logging.getLogger(logger))
        self._alone_until: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name=f"amends-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Have it end, and do not wait for that."""
        self.stopping.set()
        self._told.set()

    def close(self) -> None:
        """Returns when what is under way is done with."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()

    def rest(self, error: Exception, **about: object) -> None:
        """Note what went wrong, and let some time pass. about: what could not be seen to."""
        self._trouble.note(self._event, error, **about)
        self.stopping.wait(self._rest_seconds)

    def put_off(self, name: str, error: Exception, **about: object) -> None:
        """Note what went wrong with one thing, which is left alone for some time, while the others are seen to."""
        self._trouble.note(self._event, error, **about)
        self.leave_alone(name)

    def leave_alone(self, name: str) -> None:
        self._alone_until[name] = time.monotonic() + self._rest_seconds

    def is_left_alone(self, name: str) -> bool:
        """Whether something went wrong with it a moment ago."""
        is_so = time.monotonic() < self._alone_until.get(name, 0.0)
        if not is_so:
            self._alone_until.pop(name, None)
        return is_so

    def _run(self) -> None:
        while not self.stopping.is_set():
            self._told.clear()
            try:
                has_more = self._look()
            except Exception as error:
                self.rest(error)
            else:
                self._told.wait(self._soon_seconds if has_more else self._late_seconds)
