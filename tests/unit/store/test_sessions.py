"""Who is signed in: known at once, ended at once, and after a restart what the database says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from amends.database import Database, Transaction
from amends.store import Key, Session, Store
from amends.store import _sessions as sessions_module
from amends.testing import FakeClock
from tests.postgres import stored_bytes


@pytest.fixture
def key(database: Database, store: Store) -> Key:
    """A key of a user."""

    def work(tx: Transaction) -> Key:
        workspace = store.workspaces.ensure(tx, "mine")
        user = store.accounts.ensure(tx, workspace.id, "ada")
        return store.keys.issue(tx, workspace.id, role="admin", user_id=user.id).key

    return database.write(work)


def sign_in(database: Database, store: Store, key: Key, *, by_key: bool = False) -> tuple[Session, str]:
    key_id = key.id if by_key else None
    return database.write(
        lambda tx: store.sessions.open(tx, key.workspace_id, key.user_id, key_id, "admin", "live", 3_600)
    )


def test_a_session_is_found_by_its_secret_alone_and_after_a_restart(
    database: Database, store: Store, clock: FakeClock, key: Key, tmp_path: Path
) -> None:
    session, secret = sign_in(database, store, key)
    assert store.sessions.find(secret) == session
    assert store.sessions.find(session.id) is None
    assert Store(database, now=clock.time).sessions.find(secret) == session
    url = getattr(database, "url", None)
    kept = stored_bytes(url) if url else b"".join(path.read_bytes() for path in tmp_path.glob("amends.db*"))
    assert session.id.encode() in kept
    assert secret.encode() not in kept


def test_a_session_ends_when_its_time_is_over(database: Database, store: Store, clock: FakeClock, key: Key) -> None:
    _, secret = sign_in(database, store, key)
    clock.advance(3_600)
    assert store.sessions.find(secret) is None
    assert database.write(store.sessions.delete_expired) == 1
    assert database.write(store.sessions.delete_expired) == 0


@pytest.mark.parametrize("how", ["close", "of_user", "of_key"])
def test_what_ends_a_session_ends_it_at_once_and_for_good(
    database: Database, store: Store, clock: FakeClock, key: Key, how: str
) -> None:
    (session, secret), (other, kept) = sign_in(database, store, key, by_key=True), sign_in(database, store, key)

    def end(tx: Transaction) -> None:
        match how:
            case "close":
                store.sessions.close(tx, session.id)
            case "of_user":
                store.sessions.close_of_user(tx, str(key.user_id), but=other.id)
            case _:
                store.sessions.close_of_key(tx, key.id)

    database.write(end)
    for known in (store.sessions, Store(database, now=clock.time).sessions):
        assert (known.find(secret), known.get(session.id)) == (None, None)
        assert known.find(kept) == other


def test_of_many_who_bring_the_same_generation_one_goes_on_and_the_session_ends(
    database: Database, store: Store, clock: FakeClock, key: Key
) -> None:
    session, _ = sign_in(database, store, key)
    with ThreadPoolExecutor(4) as threads:
        renewed = list(
            threads.map(lambda _: database.write(lambda tx: store.sessions.renew(tx, session.id, 0, 7_200)), range(4))
        )
    assert [one.generation for one in renewed if one is not None] == [1]
    assert store.sessions.get(session.id) is None
    assert Store(database, now=clock.time).sessions.get(session.id) is None


def test_a_renewed_session_lasts_longer(database: Database, store: Store, clock: FakeClock, key: Key) -> None:
    session, secret = sign_in(database, store, key)
    renewed = database.write(lambda tx: store.sessions.renew(tx, session.id, 0, 7_200))
    assert renewed is not None
    clock.advance(7_000)
    assert store.sessions.find(secret) == renewed
    assert Store(database, now=clock.time).sessions.find(secret) == renewed


def test_whoever_signs_in_too_often_ends_the_oldest(
    database: Database, store: Store, clock: FakeClock, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "MOST_SESSIONS", 2)
    secrets = []
    for _ in range(4):
        clock.advance(1)
        secrets.append(sign_in(database, store, key)[1])
    for known in (store.sessions, Store(database, now=clock.time).sessions):
        assert [known.find(secret) is not None for secret in secrets] == [False, False, True, True]
