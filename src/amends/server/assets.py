"""Assets of datapoints: what those of a call lead to, and the bytes of those that stand."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final
from urllib.parse import quote

from fastapi import Request
from starlette.responses import Response

from amends.blobs import BlobNotFound, flush_together, publish_together
from amends.fetching import BadUrl, read_url
from amends.models import Looked
from amends.problems import Problem, ProblemError, asset_failed, file_not_found, not_found
from amends.server.bundles import BundledFile
from amends.server.datapoints import AssetBody
from amends.server.ranges import blob_response
from amends.server.services import Services
from amends.server.threads import in_thread
from amends.store import Asset, Content, Fetched, FileRef

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Resolver:
    """What the assets of one call lead to. pins: keeps the contents from the sweep until they are the dataset's."""

    def __init__(self, hub: Services, workspace_id: str, dataset_id: str, pins: ExitStack) -> None:
        self._hub = hub
        self._workspace_id = workspace_id
        self._dataset_id = dataset_id
        self._pins = pins
        self._parts: dict[str, tuple[Content, str | None] | Problem] = {}
        self._files: dict[str, tuple[Content, FileRef] | Problem] = {}
        self._known: dict[str, Content] = {}
        self._of_content: dict[str, str] = {}
        self._fetched: dict[str, Fetched] = {}

    async def take_files(self, files: Sequence[BundledFile]) -> None:
        """Look at the form's files, and make blobs of those that can be shown."""
        if not files:
            return
        writers = [file.written for file in files]
        for writer in writers:
            self._pins.enter_context(self._hub.pins.pinned(writer.sha256))
        _, looked = await asyncio.gather(
            in_thread(flush_together, self._hub.blobs, writers),
            self._hub.inspector.look_at([writer.path for writer in writers]),
        )
        for file, found in zip(files, looked, strict=True):
            self._parts[file.name] = self._part(file, found)
        good = [file.written for file in files if not isinstance(self._parts[file.name], Problem)]
        if good:
            await in_thread(publish_together, self._hub.blobs, good)

    def _part(self, file: BundledFile, found: Looked | Problem) -> tuple[Content, str | None] | Problem:
        sha256 = file.written.sha256
        if _SHA256.fullmatch(file.name) and sha256 != file.name:
            return asset_failed("read", "The file changed while it was read: its content is not what its name promises")
        return found if isinstance(found, Problem) else (Content(sha256, *found), file.filename)

    async def look_up(self, assets: Iterable[AssetBody]) -> None:
        """Find what is here already of the assets: files, contents and URLs."""
        given = list(assets)
        digests = {asset.sha256 for asset in given if asset.sha256 is not None and asset.sha256 not in self._parts}
        urls = {asset.url for asset in given if asset.url is not None}
        ids = {asset.file_id for asset in given if asset.file_id is not None}
        if urls:
            self._fetched = await in_thread(self._hub.store.fetches.known, self._dataset_id, urls)
        if digests:
            self._known = await in_thread(self._hub.store.datasets.contents, self._workspace_id, digests)
            if unknown := digests - self._known.keys():
                found = await in_thread(self._hub.store.files.with_contents, self._workspace_id, unknown)
                self._of_content = {sha256: file.id for sha256, file in found.items()}
        if ids or self._of_content:
            await self._look_at_files(ids | set(self._of_content.values()))

    async def _look_at_files(self, ids: Iterable[str]) -> None:
        files: Mapping[str, FileRef] = await in_thread(self._hub.store.files.resolve, self._workspace_id, ids)
        for file in files.values():
            self._pins.enter_context(self._hub.pins.pinned(file.sha256))
        # Once more: one that went before its blob was pinned took that along.
        files = await in_thread(self._hub.store.files.resolve, self._workspace_id, list(files))
        known = await in_thread(
            self._hub.store.datasets.contents, self._workspace_id, [file.sha256 for file in files.values()]
        )
        fresh = {file.sha256: self._hub.blobs.path(file.sha256) for file in files.values() if file.sha256 not in known}
        looked = dict(zip(fresh, await self._hub.inspector.look_at(list(fresh.values())), strict=True))
        for file in files.values():
            found = known.get(file.sha256) or looked[file.sha256]
            content = Content(file.sha256, *found) if isinstance(found, Looked) else found
            self._files[file.id] = content if isinstance(content, Problem) else (content, file)

    def asset(self, asset: AssetBody) -> Asset | Problem:
        """What it leads to; without sha256 for a URL that is still to be fetched."""
        if asset.text is not None:
            return Asset("text", text=asset.text)
        if asset.url is not None:
            return self._of_url(asset.url)
        if asset.file_id is not None:
            file = self._files.get(asset.file_id) or file_not_found(asset.file_id)
            return file if isinstance(file, Problem) else stored(file[0], file[1].filename)
        part = self._parts.get(asset.part or asset.sha256 or "")
        if isinstance(part, Problem):
            return part
        if part is not None:
            return stored(part[0], asset.filename or part[1])
        if asset.sha256 is None:
            return asset_failed("read", f"The form has no part {asset.part!r}")
        return self._of_digest(asset.sha256, asset.filename)

    def _of_digest(self, sha256: str, filename: str | None) -> Asset | Problem:
        if (content := self._known.get(sha256)) is not None:
            return stored(content, filename)
        file = self._files.get(self._of_content.get(sha256, ""))
        if file is None:
            return asset_failed("read", "The content was neither sent nor is it in a file or dataset of this workspace")
        return file if isinstance(file, Problem) else stored(file[0], filename or file[1].filename)

    def _of_url(self, url: str) -> Asset | Problem:
        try:
            read_url(url)
        except BadUrl as error:
            return asset_failed("blocked", str(error))
        return fetched(url, self._fetched.get(url))


def stored(content: Content, filename: str | None) -> Asset:
    """The asset of a content that was sent."""
    sha256, media_type, size, width, height = content
    return Asset("file", sha256, media_type, size, filename, width=width, height=height)


def fetched(url: str, found: Fetched | None) -> Asset:
    """The asset of a URL. found: what it led to, None where that is not known yet."""
    if found is None:
        return Asset("url", url=url)
    sha256, media_type, size, width, height = found.content
    return Asset("url", sha256, media_type, size, found.filename, url, width=width, height=height)


def asset_name(asset: Asset) -> str:
    """What an asset is called: its text, URL or file name, else its content's hash."""
    return asset.text or asset.url or asset.filename or str(asset.sha256)


def content_of(asset: Asset) -> Content | None:
    """The content that is stored of it; None of a text, and of a URL that is not fetched."""
    if asset.sha256 is None or asset.media_type is None or asset.bytes is None:
        return None
    return Content(asset.sha256, asset.media_type, asset.bytes, asset.width, asset.height)


def asset_response(request: Request, hub: Services, asset: Asset) -> Response:
    """The bytes of an asset, or the range of them that is asked for; a text as such."""
    # The bytes are anybody's: a page among them must not run as one of ours.
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
    if asset.text is not None:
        return Response(asset.text, headers={**headers, "Content-Type": "text/plain; charset=utf-8"})
    if asset.sha256 is None or asset.media_type is None or asset.bytes is None:
        raise ProblemError(not_found("asset"))
    if not hub.blobs.exists(asset.sha256):
        raise BlobNotFound(asset.sha256)
    name = quote(asset.filename or asset.sha256, safe="")
    headers |= {"Content-Type": asset.media_type, "Content-Disposition": f"inline; filename*=utf-8''{name}"}
    return blob_response(request, hub.blobs, asset.sha256, asset.bytes, headers)
