"""The domains of the store together."""

from __future__ import annotations

import time
from collections.abc import Callable

from amends.database import Database
from amends.store._files import Files
from amends.store._idempotency import IdempotencyKeys
from amends.store._keys import Keys
from amends.store._workspaces import Workspaces


class Store:
    """One object a domain, all on the same database. now: seconds since the epoch."""

    def __init__(self, database: Database, *, now: Callable[[], float] = time.time) -> None:
        self.workspaces = Workspaces(database, now=now)
        self.keys = Keys(database, now=now)
        self.files = Files(database, now=now)
        self.idempotency = IdempotencyKeys(database, now=now)
