"""A non-blocking socket that carries frames."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from amends.engine._wire import Frames, frame

_PIECE: Final = 1 << 18
_MOST_PIECES: Final = 16
"""More than a socket holds, and little enough that nobody who sends without end is listened to for ever."""


class Channel:
    """What is said waits for ``flush``, and what the socket does not take then, until the other side has read."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.is_open = True
        self._frames = Frames()
        self._piece = memoryview(bytearray(_PIECE))  # made once: so large a piece costs more than reading a small frame
        self._unsent = bytearray()

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def say(self, message: object) -> None:
        self._unsent += frame(message)

    def send(self, message: object) -> None:
        self.say(message)
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self.connection.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # the other side is gone: reading will say so
            self._unsent.clear()

    def read(self) -> Iterator[bytes]:
        """The frames that are there; ``is_open`` turns False at the end."""
        for _ in range(_MOST_PIECES):
            try:
                received = self.connection.recv_into(self._piece)
            except BlockingIOError:
                return
            except OSError:
                received = 0
            if not received:
                self.is_open = False
            yield from self._frames.feed(self._piece[:received])
            if received < _PIECE:
                return

    def close(self) -> None:
        self.is_open = False
        self.connection.close()
