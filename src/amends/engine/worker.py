"""The worker's process, ``python -m amends.engine.worker``: a loop that carries events to the supervisor and its commands out.

It runs no processor code. It ends when its owner's socket does, and takes its child along.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Collection, Iterable
from typing import Final

from amends.engine._channel import Channel
from amends.engine._process import die_with_parent, resident_bytes
from amends.engine._supervisor import (
    ChildExited,
    Command,
    Event,
    Exit,
    Hand,
    KillChild,
    StartChild,
    Supervisor,
    Tell,
    Tick,
)
from amends.engine._wire import Configure, Note, Stop, from_child, to_supervisor

_WATCH_SECONDS: Final = 0.05
_SOCKET_BYTES: Final = 1 << 20
_MOMENT_SECONDS: Final = 0.002
"""While the child has more leases in hand, its answers are gathered for so long and passed on together."""


class Child:
    """The process that runs processors."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "amends.engine.child", str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # what libraries print must not end up among somebody's data
                process_group=0,  # so that what a processor started goes with it
            )
        self.channel = Channel(ours)

    def kill(self) -> None:
        """Kill it and what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self.process.wait()
        self.channel.close()


class Worker:
    """Runs a supervisor over real sockets, a real child and the real clock."""

    def __init__(self, owner: socket.socket, wakeup: socket.socket) -> None:
        self._owner = Channel(owner)
        self._wakeup = wakeup
        self._child: Child | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(owner, selectors.EVENT_READ)
        self._selector.register(wakeup, selectors.EVENT_READ)
        self._configured: Configure | None = None
        self._supervisor: Supervisor | None = None
        self._looked_at = 0.0
        self._is_done = False

    def run(self) -> None:
        """Until the supervisor exits or the owner is gone."""
        try:
            while not self._is_done and self._owner.is_open:
                self._turn()
        finally:
            self._drop_child()
            self._owner.close()
            self._selector.close()

    def _turn(self) -> None:
        readable = self._wait()
        if self._child is not None and self._child.channel.connection in readable and self._may_gather():
            time.sleep(_MOMENT_SECONDS)
        events: list[Event] = []
        if self._owner.connection in readable:
            events += self._from_owner()
        if self._wakeup in readable and self._signalled():
            events.append(Stop(self._configured.rules.grace_seconds if self._configured else 0.0))
        now = time.monotonic()
        is_time_to_look = now >= self._looked_at + _WATCH_SECONDS
        if self._child is not None and (is_time_to_look or self._child.channel.connection in readable):
            events += self._from_child(self._child, is_time_to_look)
        if is_time_to_look or not readable:
            self._looked_at = now
            events.append(Tick(self._memory()))
        self._feed(events)
        for channel in self._channels():
            channel.flush()

    def _may_gather(self) -> bool:
        return self._supervisor is not None and self._supervisor.has_leases_ahead

    def _wait(self) -> Collection[object]:
        """Wait for something to happen; the sockets that can be read."""
        timeout = None
        if self._supervisor is not None:
            now = time.monotonic()
            deadline = self._supervisor.deadline(now)
            timeout = None if deadline is None else max(0.0, deadline - now)
            if self._supervisor.is_watching:
                timeout = _WATCH_SECONDS if timeout is None else min(timeout, _WATCH_SECONDS)
        unsent = [channel for channel in self._channels() if channel.has_unsent]
        for channel in unsent:
            self._selector.modify(channel.connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        events = self._selector.select(timeout)
        for channel in unsent:
            channel.flush()
            self._selector.modify(channel.connection, selectors.EVENT_READ)
        return [key.fileobj for key, event in events if event & selectors.EVENT_READ]

    def _channels(self) -> Iterable[Channel]:
        return (self._owner,) if self._child is None else (self._owner, self._child.channel)

    def _from_owner(self) -> list[Event]:
        events: list[Event] = []
        for data in self._owner.read():
            message = to_supervisor.decode(data)
            if isinstance(message, Configure):
                self._configured = message
                self._supervisor = Supervisor(message.rules, clock=time.time)
                self._carry_out(self._supervisor.start(time.monotonic()))
            else:
                events.append(message)
        return events

    def _from_child(self, child: Child, is_time_to_look: bool) -> list[Event]:
        """What it sent. Its end shows in its socket, unless something it started holds that open: hence the look at it."""
        events: list[Event] = [from_child.decode(data) for data in child.channel.read()]
        if not child.channel.is_open or (is_time_to_look and child.process.poll() is not None):
            events += [from_child.decode(data) for data in child.channel.read()]  # what it sent with its last breath
            self._drop_child()
            events.append(ChildExited())
        return events

    def _drop_child(self) -> None:
        if self._child is not None:
            self._selector.unregister(self._child.channel.connection)
            self._child.close()
            self._child = None
            self._owner.say(Note(None))

    def _feed(self, events: Iterable[Event]) -> None:
        if self._supervisor is not None:
            self._carry_out(self._supervisor.handle(events, time.monotonic()))

    def _carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Tell():
                    self._owner.say(command.message)
                case Hand():
                    assert self._child is not None, "items are handed to a child that is ready"
                    self._child.channel.say(command.message)
                case StartChild():
                    self._start_child()
                case KillChild():
                    if self._child is not None:  # else it was quicker
                        self._child.kill()
                case Exit():
                    self._is_done = True

    def _start_child(self) -> None:
        assert self._configured is not None, "a supervisor is configured before it starts a child"
        self._child = Child()
        self._selector.register(self._child.channel.connection, selectors.EVENT_READ)
        self._child.channel.say(self._configured.prepare)
        self._owner.say(Note(self._child.process.pid))

    def _memory(self) -> int | None:
        is_watching = self._supervisor is not None and self._supervisor.is_watching
        return resident_bytes(self._child.process.pid) if is_watching and self._child is not None else None

    def _signalled(self) -> bool:
        try:
            return bool(self._wakeup.recv(64))
        except BlockingIOError:
            return False


def main(arguments: list[str] | None = None) -> None:
    """Run a worker on the socket whose descriptor is given, for the owner whose process id is given."""
    parser = argparse.ArgumentParser(prog="python -m amends.engine.worker")
    parser.add_argument("descriptor", type=int)
    parser.add_argument("owner_pid", type=int)
    options = parser.parse_args(arguments)
    die_with_parent(options.owner_pid)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C reaches everybody: the owner decides what it means
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.fileno())
    signal.signal(signal.SIGTERM, lambda *_: None)  # the byte on the wakeup socket is what counts
    Worker(socket.socket(fileno=options.descriptor), reading).run()


if __name__ == "__main__":
    main()
