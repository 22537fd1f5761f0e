"""Assets of datapoints on the pages: their bytes, their thumbnails, and what a task shows of them."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from markupsafe import Markup
from starlette.responses import Response

from amends.problems import ProblemError, not_found
from amends.server.assets import asset_response
from amends.server.services import Services
from amends.store import Asset, DatapointRecord
from amends.web.thumbnails import NoThumbnail, thumbnail

# Shown as they are. SVG is not among them: it is a document that may hold scripts, and is offered to be kept instead.
_PICTURES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif", "image/avif", "image/bmp"})
_KEPT: Final = "private, max-age=86400, immutable"


def asset_of(datapoint: DatapointRecord, number: int) -> Asset:
    """The asset of that number, from 0, the media context after the others; ProblemError where there is none."""
    every = (*datapoint.assets, *datapoint.media_context)
    if number >= len(every) or every[number].sha256 is None:
        raise ProblemError(not_found("asset"))
    return every[number]


def medium(asset: Asset, address: str) -> dict[str, Any]:
    """What the labelling page shows of an asset whose bytes are at ``address``."""
    if asset.kind == "text":
        return {"kind": "text", "text": asset.text, "url": None, "name": None}
    media_type = asset.media_type or ""
    kind = (
        media_type.partition("/")[0] if media_type in _PICTURES or media_type[:6] in ("video/", "audio/") else "other"
    )
    return {"kind": kind, "text": None, "url": address, "name": asset.filename}


def shown_asset(request: Request, hub: Services, asset: Asset) -> Response:
    """The bytes of an asset, or a range of them, for an element of a page. Blocks."""
    answer = asset_response(request, hub, asset)
    # What has an address here never changes; without this each look at a task would fetch its picture anew.
    answer.headers.update({"Cache-Control": _KEPT, "Cross-Origin-Resource-Policy": "same-origin"})
    return answer


async def shown_thumbnail(hub: Services, asset: Asset) -> Response:
    """The asset as a small picture; ProblemError where it cannot be shown so."""
    assert asset.sha256 is not None
    try:
        content = await thumbnail(hub.blobs.path(asset.sha256), hub.settings.server.data / "cache", asset.sha256)
    except NoThumbnail as error:
        raise ProblemError(not_found("thumbnail")) from error
    headers = {"Content-Type": "image/webp", "Cache-Control": _KEPT, "X-Content-Type-Options": "nosniff"}
    return Response(content, headers=headers)


def thumb(datapoint: DatapointRecord, prefix: str) -> Markup:
    """A datapoint small. prefix: where thumbnails of datapoints are."""
    asset = datapoint.assets[0]
    if asset.kind == "text":
        return Markup('<div class="thumb text">{}</div>').format((asset.text or "")[:160])
    if asset.media_type in _PICTURES:
        words = asset.filename or f"Datapoint {datapoint.seq}"
        return Markup('<div class="thumb"><img src="{}/{}/0" alt="{}" loading="lazy" decoding="async"></div>').format(
            prefix, datapoint.id, words
        )
    return Markup('<div class="thumb">{}</div>').format(asset.media_type or "file")
