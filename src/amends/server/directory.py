"""The data directory: one process owns it, and says so."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

_NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs", "fuse.sshfs", "fuse.s3fs",
     "fuse.rclone", "fuse.gcsfuse", "fuse.glusterfs", "davfs", "fuse.davfs2"}
)  # fmt: skip
_MAX_SOCKET_BYTES: Final = 100  # sun_path holds 104 on macOS, 108 on Linux
_PATIENCE_SECONDS: Final = 1.0


class StartError(Exception):
    """The owner cannot start; the sentence says why, and nothing was harmed."""


class DataDirectoryError(StartError):
    """The data directory cannot be used."""


class DataDirectoryLocked(DataDirectoryError):
    """Another process owns it. pid: its process id, None where it has not said."""

    def __init__(self, data: Path, pid: int | None) -> None:
        super().__init__(f"{data} is held by another amends process" + (f" (pid {pid})" if pid else ""))
        self.pid = pid


@dataclass(frozen=True, slots=True)
class OwnerInfo:
    """Who owns a data directory. url: None where it only listens on its socket. command: the CLI's command that it is."""

    pid: int
    socket: Path
    url: str | None
    command: str
    started_at: float


def find_owner(data: Path) -> OwnerInfo | None:
    """Whoever owns the directory and answers on its socket; None where nobody does."""
    try:
        said = json.loads((data / "owner.json").read_text("utf-8"))
        found = OwnerInfo(**{**said, "socket": Path(said["socket"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5.0)
        try:
            probe.connect(str(found.socket))
        except OSError:
            return None
    return found


def network_file_system(path: Path) -> str | None:
    """The type of the network file system that the path lies on, None for a local one (and where the platform does not tell)."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    whole = os.path.realpath(path)
    best, kind = "", None
    for line in mounts:
        # proc(5): … mount point is the fifth field; the type follows the lone hyphen.
        front, _, back = line.partition(" - ")
        point = front.split()[4].encode().decode("unicode_escape")
        if len(point) >= len(best) and (whole == point or whole.startswith(point.rstrip("/") + "/")):
            best, kind = point, back.split()[0]
    return kind if kind in _NETWORK else None


class DataDirectory:
    """A data directory, held. Made if it is new; the hold ends with ``close`` or with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Take hold of the directory. Raises DataDirectoryError, DataDirectoryLocked."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if kind := network_file_system(path):
                raise DataDirectoryError(
                    f"{path} is on a network file system ({kind}), where SQLite cannot be trusted: choose a local disk"
                )
            self._lock = open(path / "lock", "a+", encoding="ascii")  # noqa: SIM115 held as long as the directory is
        except OSError as error:
            raise DataDirectoryError(f"{path} cannot be used as data directory: {error.strerror or error}") from error
        try:
            _hold(self._lock, path)
        except BaseException:
            self._lock.close()
            raise
        self.socket = _socket_path(path)

    @property
    def database(self) -> Path:
        return self.path / "amends.db"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    def listen(self) -> socket.socket:
        """The local socket, which only this user can open."""
        self.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            listener.bind(str(self.socket))
        finally:
            os.umask(before)
        listener.listen(128)
        return listener

    def belong_to(self, installation_id: str) -> None:
        """Bind the directory to the database of its first owner. DataDirectoryError: it was another one.

        To the other's sweep every blob here would be unused.
        """
        mark = self.path / "installation"
        said = mark.read_text("ascii").strip() if mark.exists() else ""
        if said and said != installation_id:
            raise DataDirectoryError(
                f"{self.path} holds the blobs of another database: name that one (--database, AMENDS_DATABASE), or another directory"
            )
        if not said:
            draft = self.path / "installation.new"
            draft.write_text(installation_id + "\n", "ascii")
            draft.replace(mark)

    def secret(self) -> bytes:
        """What keys of the installation are derived from: 256 random bits, made by its first owner, for this user's eyes only.

        Beside the database and not in it, so that a copy of that opens nothing.
        """
        kept = self.path / "secret"
        try:
            return kept.read_bytes()
        except FileNotFoundError:
            draft, made = self.path / "secret.new", secrets.token_bytes(32)
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(kept)
            return made

    def announce(self, *, url: str | None, command: str) -> None:
        """Write down who owns the directory, for ``find_owner``. Call it once the socket answers."""
        info = OwnerInfo(os.getpid(), self.socket, url, command, time.time())
        draft = self.path / "owner.json.new"
        draft.write_text(json.dumps(asdict(info), default=str), "utf-8")
        draft.replace(self.path / "owner.json")

    def close(self) -> None:
        for path in (self.path / "owner.json", self.socket):
            path.unlink(missing_ok=True)
        if self.socket.parent != self.path and self.socket.parent.name.startswith("amends-"):
            with suppress(OSError):
                self.socket.parent.rmdir()
        self._lock.close()  # the lock goes with its last descriptor


def _hold(lock: IO[str], path: Path) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > end:
                lock.seek(0)
                said = lock.read().strip()
                raise DataDirectoryLocked(path, int(said) if said.isdigit() else None) from None
            time.sleep(0.02)  # the last owner may be just about to leave
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()


def _socket_path(data: Path) -> Path:
    """In the directory, unless that makes the path longer than a socket's may be."""
    plain = data.absolute() / "owner.sock"
    if len(os.fsencode(plain)) <= _MAX_SOCKET_BYTES:
        return plain
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    name = "amends-" + hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
    if runtime and os.path.isdir(runtime) and len(runtime) < 70:
        return Path(runtime) / f"{name}.sock"
    return Path(tempfile.mkdtemp(prefix="amends-")) / "owner.sock"
