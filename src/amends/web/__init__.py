"""The pages: dashboard, sign-in and labelling, rendered out of what the API's routes work with. Nothing of it is built at run time."""

from collections.abc import Sequence
from typing import Final

from fastapi import APIRouter

from amends.web import credits, datasets, keys, labelling, orders, runs, sign_in, standing, static_files, webhooks

PAGES: Final[Sequence[APIRouter]] = (
    runs.router,
    datasets.router,
    orders.router,
    labelling.router,
    sign_in.router,
    standing.router,
    credits.router,
    keys.router,
    webhooks.router,
    static_files.router,
)
"""What ``amends serve`` answers besides the API."""

__all__ = ["PAGES"]
