"""``amends keys``: who may come in, and as what."""

from __future__ import annotations

from typing import Literal

from ._connection import connect
from ._console import local_time
from ._options import Common

Role = Literal["viewer", "member", "admin", "owner"]


def create(common: Common, *, role: Role, user: str | None, workspace: str | None, is_test: bool) -> None:
    """Make a key and show it, this once. User and workspace are made if new."""
    words = common.words
    with connect(common) as connection:
        key = connection.client.api_keys.create(
            role=role, mode="test" if is_test else "live", user=user, workspace=workspace
        )
    if words.is_json:
        words.document(key.model_dump(mode="json"))
        return
    words.data(str(key.key))
    words.say(f"Key {key.id}: {key.role}, {key.mode}. It is shown only now; send it as Authorization: Bearer.")


def list_keys(common: Common) -> None:
    """Show all keys by their prefixes."""
    words = common.words
    with connect(common) as connection:
        keys = list(connection.client.api_keys.list())
    if words.is_json:
        words.document([key.model_dump(mode="json") for key in keys])
    else:
        words.table(
            ("id", "prefix", "role", "mode", "created", "revoked"),
            (
                (
                    key.id,
                    getattr(key, "prefix", ""),
                    key.role,
                    key.mode,
                    local_time(key.created_at),
                    local_time(key.revoked_at),
                )
                for key in keys
            ),
        )


def revoke(common: Common, key_id: str) -> None:
    """Revoke a key; it opens nothing from now on."""
    with connect(common) as connection:
        connection.client.api_keys.revoke(key_id)
    common.words.say(f"Key {key_id} revoked")
