"""The pages: dashboard, sign-in and labelling, rendered out of what the API's routes work with. Nothing of it is built at run time."""

from collections.abc import Sequence
from typing import Final

from starlette.routing import BaseRoute

from amends.server.groups import Group

PAGES: Final[Sequence[BaseRoute]] = (
    Group("amends.web.runs", "/", "/ui/runs"),
    Group("amends.web.datasets", "/ui/datasets", "/ui/thumbnails"),
    Group("amends.web.orders", "/ui/orders"),
    Group("amends.web.labelling", "/label"),
    Group("amends.web.sign_in", "/ui/sign-in", "/ui/session", "/ui/sign-out"),
    Group("amends.web.standing", "/ui/upstreams", "/ui/limits"),
    Group("amends.web.credits", "/ui/credits"),
    Group("amends.web.keys", "/ui/keys"),
    Group("amends.web.webhooks", "/ui/webhooks"),
    Group("amends.web.static_files", "/ui/static"),
)
"""What ``amends serve`` answers besides the API."""

__all__ = ["PAGES"]
