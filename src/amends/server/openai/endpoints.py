"""Which endpoints there are, and which models answer at them."""

from __future__ import annotations

from typing import Final, NamedTuple

from amends.models import MODELS
from amends.models.providers import find_provider
from amends.server.parameters import resolved_model
from amends.server.settings import Settings

KIND: Final = "openai"
"""The kind of run that a batch of this surface is."""

CHAT: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
ENDPOINTS: Final = (CHAT, EMBEDDINGS, "/v1/responses", "/v1/completions")

_OF_EMBEDDED: Final = {"local/minilm": EMBEDDINGS}
_READS_FILES: Final = frozenset({"local/ocr", "local/image-labels"})


class Unfit(NamedTuple):
    """Why a model cannot answer at an endpoint."""

    code: str
    message: str


def unfit(model: str, endpoint: str, settings: Settings) -> Unfit | None:
    """What is against asking the model at the endpoint."""
    resolved = resolved_model(model, settings)
    if find_provider(resolved, settings.server.providers):
        return None  # the provider will say
    if resolved not in MODELS:
        return Unfit("model_not_found", f"The model '{model}' does not exist here")
    if endpoint not in endpoints_of(resolved):
        return Unfit("unsupported_model", f"The model '{model}' does not answer at {endpoint}")
    return None


def endpoints_of(resolved: str) -> tuple[str, ...]:
    """The endpoints at which an embedded model answers: none for those that read files only."""
    if resolved in _READS_FILES:
        return ()
    return (_OF_EMBEDDED.get(resolved, CHAT),)
