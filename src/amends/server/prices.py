"""What work costs: prices from the settings, and amounts as they stand on the wire."""

from __future__ import annotations

from typing import Final

from amends.ledger import CREDIT
from amends.problems import Problem, credit_exceeded
from amends.server.services import Services
from amends.server.settings import Settings

MOST_CREDITS: Final = 1_000_000_000
"""Most that one top-up adds or one run may be bounded to: sums stay whole numbers of 64 bits."""


def price_of(settings: Settings, model: str) -> int:
    """What an item costs by this model, in millionths of a credit. model: by its own name or an alias."""
    prices = settings.credits.prices
    resolved = settings.models.aliases.get(model, model)
    return millionths(prices.get(model, prices.get(resolved, settings.credits.price)))


def millionths(credits: float) -> int:
    """An amount as the ledger keeps it."""
    return round(credits * CREDIT)


def credits(amount: int) -> float:
    """An amount of the ledger's in credits."""
    return amount / CREDIT


def lacking(services: Services, required: int, remaining: int) -> Problem:
    """The problem of work that cannot start for want of credit. Amounts of the ledger's."""
    settings = services.settings.credits
    url = settings.upgrade_url or f"{services.public_url}/errors/credit_exceeded"
    return credit_exceeded(credits(required), credits(remaining), settings.unit, url)
