"""Items whose model a provider has: their requests go there as they are, and its answers come back so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from amends.engine.processor import Job, WorkItem
from amends.models.providers import Answer, CallFailed, Provider, Reply
from amends.problems import Problem, ProblemError, problem
from amends.processors.predict._calls import Asking, ProviderCalls

__all__ = ["RelayCalls"]

_MAX_BODY_BYTES: Final = 16 << 10
"""A longer refusal is told by its sentence alone."""

_encode = msgspec.json.Encoder().encode


class RelayCalls(ProviderCalls):
    """Calls to providers that change nothing but the model's name."""

    def asking_for(self, job: Job) -> Asking:
        return _Relaying(job, self._providers)

    def body_of(self, asking: Asking, item: WorkItem) -> Mapping[str, Any]:
        body: dict[str, Any] = msgspec.json.decode(item.payload)["input"]
        return {**{name: value for name, value in body.items() if name != "stream"}, "model": asking.model}

    def problem_of(self, error: Exception, item: WorkItem) -> Problem:
        """With the provider's own words, as ``response_body``, where it gave any."""
        found = super().problem_of(error, item)
        if isinstance(error, CallFailed) and len(error.body) <= _MAX_BODY_BYTES:
            try:
                said = msgspec.json.decode(error.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return found
            if isinstance(said, dict):
                return found.replace(extensions={**found.extensions, "response_body": said})
        return found


class _Relaying(Asking):
    def __init__(self, job: Job, providers: Mapping[str, Provider]) -> None:
        super().__init__(job, providers)
        self.path = str(job.params["endpoint"]).removeprefix("/v1/")

    def read(self, reply: Reply) -> Answer:
        """Raises ProblemError for a body that is no JSON object."""
        try:
            body = msgspec.json.decode(reply.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            detail = f"The provider '{self.provider.name}' answered {reply.status} with a body that is no JSON object"
            raise ProblemError(
                problem(
                    "upstream_failed",
                    detail,
                    error_code="UPSTREAM_ERROR",
                    provider=self.provider.name,
                    upstream_status=reply.status,
                )
            ) from error
        response = {"status_code": reply.status, "request_id": reply.headers.get("x-request-id"), "body": body}
        return Answer(_encode(response), self._usage(body.get("usage")))

    def _usage(self, said: Any) -> bytes | None:
        """As the provider counted, under whichever of the API's two names."""
        if not isinstance(said, dict):
            return None
        counted = [said.get(old, said.get(new)) for old, new in _COUNTS]
        tokens = [count if isinstance(count, int) and count >= 0 else 0 for count in counted]
        cost = round(self.provider.price.of(*tokens), 9)
        return _encode({"input_tokens": tokens[0], "output_tokens": tokens[1], "cost": cost})


_COUNTS: Final = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
