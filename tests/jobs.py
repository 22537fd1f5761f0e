"""Orders for tests: made over the API, of files or texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import httpx2


class Site(Protocol):
    """A server, in this process or in another one."""

    @property
    def base_url(self) -> str: ...

    def client(self) -> httpx2.Client:
        """A client with the owner's key."""


class Job:
    """An order that runs, made over the API. assets: files, or texts where ``data_type`` says so; of each datapoint one or several."""

    def __init__(
        self,
        site: Site,
        kind: str,
        instruction: str,
        assets: Sequence[Sequence[Path | str]],
        *,
        options: Sequence[str] | None = None,
        run: bool = True,
        private_metadata: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self._site = site
        with site.client() as api:
            dataset = _made(api, "/v1/datasets", name=f"{instruction} {uuid4().hex[:8]}")
            rows = [_datapoint(api, each) for each in assets]
            if private_metadata:
                rows = [{**row, "private_metadata": private_metadata} for row in rows]
            answer = api.post(f"/v1/datasets/{dataset}/datapoints", json=rows)
            assert answer.status_code == 200, answer.text
            definition = _made(
                api, "/v1/job-definitions", kind=kind, name=instruction, instruction=instruction, dataset_id=dataset,
                **({"answer_options": list(options)} if options else {}), settings=settings,
            )  # fmt: skip
            self.id = _made(api, "/v1/orders", job_definition_id=definition, run=run)
        self.page = f"{site.base_url}/ui/orders/{self.id}"

    def add_model(self, model: str) -> None:
        with self._site.client() as api:
            _made(api, f"/v1/orders/{self.id}/annotators", model=model)

    def link(self) -> str:
        """A new invitation's."""
        with self._site.client() as api:
            return str(api.post(f"/v1/orders/{self.id}/invitations").json()["url"])

    def shown(self) -> dict[str, Any]:
        with self._site.client() as api:
            return dict(api.get(f"/v1/orders/{self.id}").json())

    def results(self) -> dict[str, Any]:
        with self._site.client() as api:
            return dict(api.get(f"/v1/orders/{self.id}/results").json())


def _made(api: httpx2.Client, path: str, **body: Any) -> str:
    answer = api.post(path, json=body)
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["id"])


def _datapoint(api: httpx2.Client, assets: Sequence[Path | str]) -> dict[str, Any]:
    if isinstance(assets[0], str):
        return {"data_type": "text", "assets": [{"text": text} for text in assets]}
    sent = [api.post("/v1/files", files={"file": (Path(each).name, Path(each).read_bytes())}).json() for each in assets]
    return {"assets": [{"file_id": file["id"]} for file in sent]}
