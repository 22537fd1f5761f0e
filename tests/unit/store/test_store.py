from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from amends.database import Database, Transaction
from amends.database._database import SqliteDatabase
from amends.database._postgres import PostgresDatabase
from amends.store import Fenced, FileRecord, IdempotencyKeys, Keys, Scope, Store, make_secret
from amends.testing import FakeClock
from tests.postgres import stored_bytes


def file(
    file_id: str, workspace_id: str = "ws_a", *, sha256: str = "ab" * 32, expires_at: float | None = None
) -> FileRecord:
    return FileRecord(
        file_id, workspace_id, "a.txt", "text/plain", 5, sha256, None, "user_data", "key_1", 1.0, expires_at
    )


def add(database: Database, store: Store, *files: FileRecord) -> None:
    def work(tx: Transaction) -> None:
        for each in files:
            store.files.add(tx, each)

    database.write(work)


# Workspaces and users


def test_a_name_that_is_new_to_many_at_once_is_made_once(database: Database, store: Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: database.write(lambda tx: store.workspaces.ensure(tx, "new")).id, range(16)))
        workspace_id = made.pop()
        users = threads.map(
            lambda _: database.write(lambda tx: store.accounts.ensure(tx, workspace_id, "ada")).id, range(16)
        )
        assert len(set(users)) == 1
    assert not made


def test_a_key_that_many_take_at_once_is_one_holders(database: Database, store: Store) -> None:
    def take(holder: str) -> str | None:
        try:
            database.write(lambda tx: store.idempotency.take(tx, SCOPE, holder))
        except Fenced:
            return None
        return holder

    with ThreadPoolExecutor(8) as threads:
        holders = [holder for holder in threads.map(take, map(str, range(16))) if holder]
    assert len(holders) == 1
    claim = store.idempotency.get(SCOPE)
    assert claim is not None
    assert claim.holder == holders[0]


def test_a_name_that_is_new_makes_a_workspace_and_one_that_is_known_finds_it(database: Database, store: Store) -> None:
    made = database.write(lambda tx: store.workspaces.ensure(tx, "default"))
    assert database.write(lambda tx: store.workspaces.ensure(tx, "default")) == made
    assert store.workspaces.named("default") == made
    assert store.workspaces.named("other") is None


def test_users_of_two_workspaces_may_have_the_same_name(database: Database, store: Store) -> None:
    here = database.write(lambda tx: store.workspaces.ensure(tx, "a"))
    there = database.write(lambda tx: store.workspaces.ensure(tx, "b"))
    first = database.write(lambda tx: store.accounts.ensure(tx, here.id, "Ada"))
    assert database.write(lambda tx: store.accounts.ensure(tx, here.id, "Ada")) == first
    assert database.write(lambda tx: store.accounts.ensure(tx, there.id, "Ada")).id != first.id


# Keys


@pytest.fixture
def workspace_id(database: Database, store: Store) -> str:
    return database.write(lambda tx: store.workspaces.ensure(tx, "default")).id


def test_a_key_opens_from_its_admission_until_its_revocation(
    database: Database, store: Store, workspace_id: str
) -> None:
    issued = database.write(lambda tx: store.keys.issue(tx, workspace_id, role="member", mode="test"))
    assert issued.secret.startswith("ak_test_")
    assert store.keys.authenticate(issued.secret) is None
    store.keys.admit(issued.key)
    assert store.keys.authenticate(issued.secret) == issued.key
    store.keys.dismiss(database.write(lambda tx: store.keys.revoke(tx, issued.key)))
    assert store.keys.authenticate(issued.secret) is None


def test_keys_survive_a_restart_and_revoked_ones_stay_revoked(
    database: Database, store: Store, workspace_id: str, clock: FakeClock
) -> None:
    kept, revoked = (database.write(lambda tx: store.keys.issue(tx, workspace_id, role="owner")) for _ in range(2))
    database.write(lambda tx: store.keys.revoke(tx, revoked.key))
    again = Keys(database, now=clock.time)
    assert again.authenticate(kept.secret) == kept.key
    assert again.authenticate(revoked.secret) is None
    assert database.write(again.has_any)


def test_the_secret_is_nowhere_in_the_database(database: Database, store: Store, workspace_id: str) -> None:
    issued = database.write(lambda tx: store.keys.issue(tx, workspace_id, role="owner"))
    database.close()
    if isinstance(database, PostgresDatabase):
        stored = stored_bytes(database.url)
    else:
        assert isinstance(database, SqliteDatabase)
        stored = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    assert issued.secret.encode() not in stored
    assert issued.secret not in repr(issued)


@pytest.mark.parametrize("secret", ["", "ak_live_", "x" * 10_000, "ak_live_ünïcode"])
def test_what_is_no_key_opens_nothing(store: Store, secret: str) -> None:
    assert store.keys.authenticate(secret) is None


def test_keys_of_another_workspace_are_not_found(database: Database, store: Store, workspace_id: str) -> None:
    issued = database.write(lambda tx: store.keys.issue(tx, workspace_id, role="owner"))
    assert store.keys.get(workspace_id, issued.key.id) == issued.key
    assert store.keys.get("ws_other", issued.key.id) is None
    assert store.keys.find("ws_other", limit=10) == []


def test_a_derived_secret_follows_from_all_of_its_parts_alone() -> None:
    made = make_secret("live", derived_from=(b"credential", b"nonce"))
    assert made == make_secret("live", derived_from=(b"credential", b"nonce"))
    others = [(b"credentia", b"lnonce"), (b"credential", b"nonc", b"e"), (b"other", b"nonce")]
    assert made not in [make_secret("live", derived_from=parts) for parts in others]


# Files


def test_files_are_found_in_their_workspace_only(database: Database, store: Store) -> None:
    add(database, store, file("file_1"), file("file_2", "ws_b"))
    assert store.files.get("ws_a", "file_1") == file("file_1")
    assert store.files.get("ws_a", "file_2") is None
    assert set(store.files.resolve("ws_a", ["file_1", "file_2", "file_1", "made up"])) == {"file_1"}


def test_a_file_is_gone_the_moment_it_expires(database: Database, store: Store, clock: FakeClock) -> None:
    add(database, store, file("file_1", expires_at=clock.time() + 10))
    assert store.files.find("ws_a", limit=10)
    clock.advance(10)
    assert store.files.get("ws_a", "file_1") is None
    assert store.files.find("ws_a", limit=10) == []
    assert not store.files.resolve("ws_a", ["file_1"])
    assert database.write(store.files.delete_expired) == [("file_1", "ws_a", "ab" * 32)]
    assert database.write(store.files.delete_expired) == []


def test_pages_of_files_are_newest_first_and_meet_without_gap(database: Database, store: Store) -> None:
    add(database, store, *(file(f"file_{number}") for number in range(7)))
    seen: list[str] = []
    while page := store.files.find("ws_a", limit=3, after=seen[-1] if seen else None):
        seen += [each.id for each in page]
    assert seen == [f"file_{number}" for number in reversed(range(7))]


def test_bytes_are_used_as_long_as_any_file_has_them(database: Database, store: Store) -> None:
    add(database, store, file("file_1"), file("file_2", "ws_b"))
    database.write(lambda tx: store.files.delete(tx, "ws_a", "file_1"))
    assert store.files.is_used("ab" * 32)
    database.write(lambda tx: store.files.delete(tx, "ws_b", "file_2"))
    assert not store.files.is_used("ab" * 32)


def test_thousands_of_files_are_resolved_in_one_query(database: Database, store: Store) -> None:
    files = [file(f"file_{number:05}") for number in range(3_000)]
    add(database, store, *files)
    found = store.files.resolve("ws_a", [each.id for each in files])
    assert len(found) == 3_000
    assert found["file_00042"].media_type == "text/plain"


# Idempotency keys

SCOPE = Scope.of("ws_a", "POST", "/v1/files", "key")


def answer(keys: IdempotencyKeys, database: Database, holder: str, resource_id: str | None = None) -> None:
    database.write(
        lambda tx: keys.answer(
            tx, SCOPE, holder, digest=b"d", status=200, headers={"location": "/x"}, body=b"{}", resource_id=resource_id
        )
    )


def test_a_claim_that_is_answered_is_kept_with_its_answer(database: Database, store: Store) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    claimed = keys.get(SCOPE)
    assert claimed
    assert claimed.status is None
    assert keys.is_held(claimed)
    answer(keys, database, "first")
    answered = keys.get(SCOPE)
    assert answered
    assert (answered.status, answered.headers, answered.body, answered.digest) == (200, {"location": "/x"}, b"{}", b"d")


def test_nobody_takes_a_key_from_a_living_holder_or_one_that_is_answered(database: Database, store: Store) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    with pytest.raises(Fenced):
        database.write(lambda tx: keys.take(tx, SCOPE, "second"))
    answer(keys, database, "first")
    with pytest.raises(Fenced):
        database.write(lambda tx: keys.take(tx, SCOPE, "second"))


@pytest.mark.parametrize("death", ["its lease ran out", "its process is gone"])
def test_a_dead_holder_is_succeeded_and_its_late_answer_does_not_land(
    database: Database, store: Store, clock: FakeClock, death: str
) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    heir = keys
    if death == "its process is gone":
        heir = IdempotencyKeys(database, now=clock.time)
    else:
        clock.advance(3_600)
    database.write(lambda tx: heir.take(tx, SCOPE, "second"))
    with pytest.raises(Fenced):
        answer(keys, database, "first")
    answer(heir, database, "second")


def test_a_fenced_answer_takes_its_effect_with_it(database: Database, store: Store) -> None:
    def work_late(tx: Transaction) -> None:
        store.files.add(tx, file("file_late"))
        store.idempotency.answer(tx, SCOPE, "nobody", digest=b"d", status=200, headers={}, body=b"")

    with pytest.raises(Fenced):
        database.write(work_late)
    assert store.files.get("ws_a", "file_late") is None


def test_an_answer_is_kept_a_day_unless_it_made_something_that_lives(
    database: Database, store: Store, clock: FakeClock
) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    answer(keys, database, "first", resource_id="file_1")
    clock.advance(30 * 86_400)
    assert keys.get(SCOPE)
    assert keys.find_resource("ws_a", "key") == "file_1"
    assert keys.find_resource("ws_b", "key") is None
    database.write(lambda tx: keys.forget_resource(tx, "file_1"))
    assert keys.get(SCOPE) is None
    database.write(lambda tx: keys.take(tx, SCOPE, "second"))


def test_keys_of_runs_that_the_ledger_deleted_are_let_go(database: Database, store: Store, clock: FakeClock) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    answer(keys, database, "first", resource_id="bpred_gone")
    clock.advance(2 * 86_400)
    database.write(keys.expire_orphans)
    assert database.write(keys.delete_expired) == 1
    assert database.write(keys.delete_expired) == 0


def test_a_released_claim_is_free_again_but_an_answer_stays(database: Database, store: Store) -> None:
    keys = store.idempotency
    database.write(lambda tx: keys.take(tx, SCOPE, "first"))
    database.write(lambda tx: keys.release(tx, SCOPE, "another"))
    assert keys.get(SCOPE)
    database.write(lambda tx: keys.release(tx, SCOPE, "first"))
    assert keys.get(SCOPE) is None
    database.write(lambda tx: keys.take(tx, SCOPE, "second"))
    answer(keys, database, "second")
    database.write(lambda tx: keys.release(tx, SCOPE, "second"))
    assert keys.get(SCOPE)


@pytest.mark.parametrize(
    "other",
    [
        Scope.of("ws_b", "POST", "/v1/files", "key"),
        Scope.of("ws_a", "PATCH", "/v1/files", "key"),
        Scope.of("ws_a", "POST", "/v1/file", "skey"),
        Scope.of("ws_a", "POST", "/v1/files", "Key"),
    ],
)
def test_a_key_means_something_only_with_its_workspace_method_and_path(
    database: Database, store: Store, other: Scope
) -> None:
    database.write(lambda tx: store.idempotency.take(tx, SCOPE, "first"))
    assert store.idempotency.get(other) is None
    database.write(lambda tx: store.idempotency.take(tx, other, "second"))
