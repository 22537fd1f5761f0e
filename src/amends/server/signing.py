"""What makes a message to a webhook believable: Standard Webhooks signatures (https://www.standardwebhooks.com)."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

from amends.server.sealing import CannotOpen, Sealing
from amends.store import Delivery, Webhook

_PURPOSE = "webhook secrets"


def shown_secret(bits: bytes) -> str:
    """A secret as its receiver is told it."""
    return "whsec_" + b64encode(bits).decode()


def sealed_secret(sealing: Sealing, webhook_id: str, secret: str) -> bytes:
    """A secret as it is stored."""
    return sealing.seal(_PURPOSE, webhook_id, secret.encode())


def opened_secret(sealing: Sealing, webhook_id: str, sealed: bytes) -> str:
    """A stored secret. Raises CannotOpen where another installation sealed it: the data directory is not the one it was."""
    return sealing.open(_PURPOSE, webhook_id, sealed).decode()


def signed_headers(sealing: Sealing, webhook: Webhook, delivery: Delivery, now: float) -> dict[str, str]:
    """The headers of a message, with two signatures while the secret before is still good. Raises CannotOpen."""
    from standardwebhooks import Webhook as Signer

    moment = datetime.fromtimestamp(int(now), UTC)
    signatures = [
        Signer(secret).sign(delivery.message_id, moment, delivery.body) for secret in _secrets(sealing, webhook, now)
    ]
    return {
        "Content-Type": "application/json",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(signatures),
    }


def _secrets(sealing: Sealing, webhook: Webhook, now: float) -> list[str]:
    found = [opened_secret(sealing, webhook.id, webhook.secret)]
    if webhook.former_secret is not None and webhook.former_until is not None and now < webhook.former_until:
        try:
            found.append(opened_secret(sealing, webhook.id, webhook.former_secret))
        except CannotOpen:
            return found  # which is why it was rotated, perhaps
    return found
