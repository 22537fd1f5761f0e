"""What has to be tidied now and then: expired files, uploads, sessions and idempotency keys, deleted datasets, unused blobs. Runs and their lines are the engine's."""

from __future__ import annotations

import logging
import threading
from typing import Final

from amends._trouble import Trouble
from amends.database import Transaction
from amends.server.files import sweep_expired
from amends.server.services import Services
from amends.server.sweep import BlobSweep
from amends.server.uploads import sweep_uploads

_INVITATION_SECONDS: Final = 30 * 86_400.0
"""Who came by an invitation can be looked up for so long after its time was over."""


class Housekeeping:
    """A thread that tidies every ``every_seconds``, in small slices."""

    def __init__(self, services: Services, *, every_seconds: float = 30.0) -> None:
        settings = services.settings
        self._services = services
        self._sweep = BlobSweep(
            services,
            age_seconds=settings.retention.unused_blob_hours * 3_600,
            # A report waits for the ledger for as long as a lease lasts, and so may the one before it.
            settle_seconds=60.0 + 4 * settings.engine.ttl_seconds,
        )
        self._every_seconds = every_seconds
        self._trouble = Trouble(logging.getLogger("amends.server"))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="amends-housekeeping", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()

    def tick(self) -> None:
        """Tidy until nothing is left to, and look for unused blobs in some of the folders."""
        services = self._services
        while not self._stopping.is_set() and sweep_expired(services):
            pass
        while not self._stopping.is_set() and sweep_uploads(services):
            pass
        services.database.write(services.store.idempotency.expire_orphans)
        while not self._stopping.is_set() and services.database.write(services.store.idempotency.delete_expired):
            pass
        while not self._stopping.is_set() and services.database.write(services.store.sessions.delete_expired):
            pass
        while not self._stopping.is_set() and services.database.write(self._forget_invitations):
            pass
        while not self._stopping.is_set() and services.database.write(self._forget_deliveries):
            pass
        while not self._stopping.is_set() and services.database.write(self._forget_batches):
            pass
        while not self._stopping.is_set() and services.database.write(self._forget_fetches):
            pass
        for dataset_id in services.store.datasets.deleted():
            self._clear(dataset_id)
        self._sweep.step()

    def _forget_invitations(self, tx: Transaction) -> int:
        return self._services.store.invitations.delete_outdated(tx, before=self._services.now() - _INVITATION_SECONDS)

    def _forget_deliveries(self, tx: Transaction) -> int:
        before = self._services.now() - self._services.settings.retention.delivery_days * 86_400
        return self._services.store.webhooks.delete_outdated(tx, before=before)

    def _forget_batches(self, tx: Transaction) -> int:
        """Of OpenAI's surface; their runs are the engine's to forget, by the same schedule."""
        before = self._services.now() - self._services.settings.retention.run_days * 86_400
        return self._services.store.openai_batches.delete_outdated(tx, before=before)

    def _forget_fetches(self, tx: Transaction) -> int:
        """What became of datapoints that waited, when the run that they waited for is forgotten."""
        before = self._services.now() - self._services.settings.retention.run_days * 86_400
        return self._services.store.fetches.forget_outdated(tx, before=before)

    def _clear(self, dataset_id: str) -> None:
        """Remove what is left of a deleted dataset; the sweep then finds its contents unused."""
        services = self._services
        while not self._stopping.is_set() and services.database.write(
            lambda tx: services.store.fetches.forget_of(tx, dataset_id)
        ):
            pass
        while not self._stopping.is_set() and services.database.write(
            lambda tx: services.store.datasets.clear(tx, dataset_id)
        ):
            pass

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds):
            try:
                self.tick()
            except Exception as error:
                self._trouble.note("housekeeping_failed", error)
