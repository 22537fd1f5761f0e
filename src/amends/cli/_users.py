"""``amends users``: who belongs to the workspace, and who may come in."""

from __future__ import annotations

from typing import Any, Literal

from ._connection import connect
from ._console import local_time
from ._options import Common

Role = Literal["viewer", "member", "admin", "owner"]


def list_users(common: Common) -> None:
    """Show everybody with their role."""
    words = common.words
    with connect(common) as connection:
        users = list(connection.client.users.list())
    if words.is_json:
        words.document([user.model_dump(mode="json") for user in users])
    else:
        words.table(
            ("id", "name", "email", "role", "since"),
            ((user.id, user.name, user.email, user.role, local_time(user.created_at)) for user in users),
        )


def invite(common: Common, *, role: Role, email: str | None, hours: float | None) -> None:
    """Make an invitation and show its token, this once."""
    words = common.words
    seconds: dict[str, Any] = {} if hours is None else {"expires_after": round(hours * 3_600)}
    with connect(common) as connection:
        made = connection.client.invitations.create(role=role, email=email, **seconds)
    if words.is_json:
        words.document(made.model_dump(mode="json"))
        return
    words.data(str(made.token))
    words.say(
        f"Invitation {made.id}: {made.role}, until {local_time(made.expires_at)}. The token is shown only now; who registers "
        "with it comes in."
    )


def change(common: Common, user_id: str, *, role: Role | None, name: str | None) -> None:
    """Give somebody another role or name."""
    with connect(common) as connection:
        user = connection.client.users.update(user_id, role=role, name=name)
    common.words.say(f"User {user.id}: {user.name}, {user.role}")


def remove(common: Common, user_id: str) -> None:
    """Remove somebody, and revoke their keys."""
    with connect(common) as connection:
        connection.client.users.delete(user_id)
    common.words.say(f"User {user_id} removed")
