"""What the configuration says of a provider, ``[providers.NAME]``, checked when it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal
from urllib.parse import urlsplit

__all__ = [
    "Endpoint",
    "Operation",
    "Price",
    "Provider",
    "endpoint_of",
    "find_provider",
    "operation_of",
    "read_providers",
    "upstream_name",
]

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Operation = Literal["chat", "embeddings"]

_TAKEN: Final = frozenset({"local", "models"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a provider answers. key_variable: the environment variable that holds the key; None sends no key."""

    base_url: str
    key_variable: str | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the provider's currency."""

    input: float = 0.0
    output: float = 0.0

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1_000_000


@dataclass(frozen=True, slots=True)
class Provider:
    """One OpenAI-compatible provider. Its models are called ``{name}/{model}``.

    endpoints: the same models everywhere; where one fails the others are used. models: those that may be asked for, None
    for any. embedding_models: of them, those that answer with vectors. takes_images: whether pictures and pages of PDFs are
    sent as pictures; their text is sent otherwise. has_json_schema: whether it takes ``response_format`` of type
    ``json_schema``; the schema is put into the prompt otherwise. concurrency, requests_per_minute, tokens_per_minute: for each
    endpoint, all workers together; None for no limit. timeout_seconds: of one call.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    models: tuple[str, ...] | None = None
    embedding_models: tuple[str, ...] = ()
    takes_images: bool = False
    has_json_schema: bool = True
    concurrency: int = 16
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_seconds: float = 120.0
    max_output_tokens: int | None = None
    price: Price = Price()

    def serves(self, model: str) -> bool:
        """Whether ``model``, as the provider calls it, may be asked for."""
        return bool(model) and (self.models is None or model in self.models or model in self.embedding_models)

    def to_table(self) -> dict[str, Any]:
        """As ``read_providers`` takes it, without the name."""
        table = {name: value for name, value in asdict(self).items() if name != "name" and value is not None}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items()}


def read_providers(tables: Any) -> dict[str, Provider]:
    """The providers of a configuration, by name. Raises ValueError, whose sentence names the faulty setting."""
    if not isinstance(tables, Mapping):
        raise ValueError("must be tables, [providers.NAME]")
    return {name: _read_provider(str(name), table) for name, table in tables.items()}


def find_provider(model: str, providers: Mapping[str, Provider]) -> tuple[Provider, str] | None:
    """The provider of a model named ``{provider}/{model}`` and what it calls the model; None where there is none."""
    name, _, rest = model.partition("/")
    provider = providers.get(name)
    return (provider, rest) if provider is not None and provider.serves(rest) else None


def operation_of(provider: Provider, model: str) -> Operation:
    """What a model, as the provider calls it, is asked for."""
    return "embeddings" if model in provider.embedding_models else "chat"


def upstream_name(provider: Provider, operation: Operation, endpoint: int, mode: str = "live") -> str:
    """How an endpoint, by its place from 0, is known to limits and breakers, which are kept for each operation.

    Test mode has its own, so that what it simulates shuts nobody out.
    """
    name = f"{provider.name}/{operation}/{endpoint}"
    return name if mode == "live" else f"{mode}:{name}"


def endpoint_of(upstream: str) -> int:
    """The place of an upstream's endpoint; the first for a name of nobody."""
    return int(upstream.rpartition("/")[2] or 0)


def _read_provider(name: str, table: Any) -> Provider:
    if not _NAME.fullmatch(name) or name in _TAKEN:
        raise ValueError(
            f"{name!r} is no name for a provider: lower-case letters, digits, - and _, and not local or models"
        )
    if not isinstance(table, Mapping):
        raise ValueError(f"{name} must be a table")
    given = dict(table)
    endpoints = _read_endpoints(name, given)
    known = {field.name for field in fields(Provider)} - {"name", "endpoints"}
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key not in known:
            raise ValueError(f"{name}: there is no setting {key!r}")
        values[key] = _read_value(f"{name}.{key}", key, value)
    return Provider(name, endpoints, **values)


def _read_endpoints(name: str, given: dict[str, Any]) -> tuple[Endpoint, ...]:
    """Take ``base_url`` or ``endpoints``, and the key's variable, out of the table."""
    variable = given.pop("key_variable", None)
    said = given.pop("endpoints", None)
    base_url = given.pop("base_url", None)
    if (said is None) == (base_url is None):
        raise ValueError(f"{name}: give either base_url or endpoints")
    tables = [{"base_url": base_url}] if said is None else said
    if not isinstance(tables, Sequence) or isinstance(tables, str) or not tables:
        raise ValueError(f"{name}.endpoints: must be a list of addresses or tables")
    return tuple(_read_endpoint(name, table, variable) for table in tables)


def _read_endpoint(name: str, said: Any, variable: Any) -> Endpoint:
    table = {"base_url": said} if isinstance(said, str) else said
    if not isinstance(table, Mapping) or not table.keys() <= {"base_url", "key_variable"}:
        raise ValueError(f"{name}.endpoints: each has base_url and, if it needs one, key_variable")
    variable = table.get("key_variable", variable)
    if variable is not None and not (isinstance(variable, str) and _VARIABLE.fullmatch(variable)):
        # The value is not repeated: it may be the key itself.
        raise ValueError(f"{name}.key_variable: must be the name of an environment variable, never the key itself")
    return Endpoint(_read_address(name, table.get("base_url")), variable)


def _read_address(name: str, address: Any) -> str:
    parts = urlsplit(address) if isinstance(address, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{name}.base_url: must be an address with http or https")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            f"{name}.base_url: must hold no credentials, query or fragment; a key belongs into key_variable"
        )
    return str(address).rstrip("/")


def _read_value(place: str, key: str, value: Any) -> Any:
    match key:
        case "models" | "embedding_models":
            if not isinstance(value, list | tuple) or not all(isinstance(model, str) and model for model in value):
                raise ValueError(f"{place}: must be a list of names")
            return tuple(value)
        case "takes_images" | "has_json_schema":
            if not isinstance(value, bool):
                raise ValueError(f"{place}: must be true or false")
            return value
        case "price":
            if not isinstance(value, Mapping) or not value.keys() <= {"input", "output"}:
                raise ValueError(f"{place}: must be a table of input and output, each a price of a million tokens")
            return Price(**{kind: _number(f"{place}.{kind}", price, least=0.0) for kind, price in value.items()})
        case "concurrency" | "max_output_tokens":
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{place}: must be a whole number from 1")
            return value
        case _:
            number = _number(place, value, least=0.0)
            if number == 0:
                raise ValueError(f"{place}: must be more than 0")
            return number


def _number(place: str, value: Any, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"{place}: must be a number, not negative")
    return float(value)
