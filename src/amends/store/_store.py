"""The domains of the store together."""

from __future__ import annotations

import time
from collections.abc import Callable

from amends.database import Database
from amends.store._accounts import Accounts
from amends.store._annotators import Annotators
from amends.store._datasets import Datasets
from amends.store._fetches import Fetches
from amends.store._files import Files
from amends.store._idempotency import KEEP_SECONDS, IdempotencyKeys
from amends.store._invitations import Invitations
from amends.store._job_definitions import JobDefinitions
from amends.store._keys import Keys
from amends.store._openai_batches import OpenAIBatches
from amends.store._orders import Orders
from amends.store._sessions import Sessions
from amends.store._tasks import Tasks
from amends.store._uploads import Uploads
from amends.store._webhooks import Webhooks
from amends.store._workspaces import Workspaces


class Store:
    """One object a domain, all on the same database.

    now: seconds since the epoch. keep_idempotency_seconds: how long the answer to what created nothing is kept.
    monotonic: the clock of leases on tasks, see ``Tasks``.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float] = time.time,
        keep_idempotency_seconds: float = KEEP_SECONDS,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self.workspaces = Workspaces(database, now=now)
        self.accounts = Accounts(database, now=now)
        self.invitations = Invitations(database, now=now)
        self.keys = Keys(database, now=now)
        self.sessions = Sessions(database, now=now)
        self.files = Files(database, now=now)
        self.uploads = Uploads(database, now=now)
        self.datasets = Datasets(database, now=now)
        self.fetches = Fetches(database, now=now)
        self.openai_batches = OpenAIBatches(database, now=now)
        self.job_definitions = JobDefinitions(database, now=now)
        self.orders = Orders(database, now=now)
        self.annotators = Annotators(database, now=now)
        self.tasks = Tasks(database, self.orders, now=now, monotonic=monotonic)
        self.webhooks = Webhooks(database, now=now)
        self.idempotency = IdempotencyKeys(database, now=now, keep_seconds=keep_idempotency_seconds)
