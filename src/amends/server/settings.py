"""Settings: frozen values, built once at the edge from a file, the environment and flags.

What is given last wins: ``amends.toml`` (``--config``, ``AMENDS_CONFIG``, else in the working folder, else in the data folder),
then ``AMENDS_*``, then flags. A setting of a group is written ``[limits] json_body_bytes = …`` in the file and
``AMENDS_LIMITS_JSON_BODY_BYTES`` in the environment; those of the server itself stand at the top and have no group in their name.
"""

# ruff: noqa: RUF009, `_setting` is `dataclasses.field` with words, not a value made once for all
from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from amends.database import is_postgres, masked
from amends.fetching import Allowed
from amends.models.providers import Provider, read_providers

LogFormat = Literal["text", "json"]
FillGaps = Literal["off", "likely", "model"]
Registration = Literal["open", "invite", "closed"]


# Settings of the design that a later version will take; who sets them must not think that they count.
NOT_YET: Final = frozenset({"AMENDS_BLOBS", "AMENDS_EXECUTOR"})


class SettingsError(ValueError):
    """A setting that cannot be taken; the sentence names it and where it came from."""


def _setting(default: Any, doc: str, *, is_secret: bool = False, least: int = 0) -> Any:
    return field(default=default, metadata={"doc": doc, "is_secret": is_secret, "least": least})


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens and what it keeps where."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 takes any free one.")
    data: Path = _setting(Path(".amends"), "Data directory: database, blobs, lock and local socket.")
    database: str | None = field(
        default=None,
        repr=False,
        metadata={
            "doc": "`postgresql://…`: where all but the blobs is kept; by default on SQLite in the data directory.",
            "is_secret": False,
        },
    )
    public_url: str | None = _setting(None, "What `type` URIs begin with; by default the address listened on.")
    no_auth: bool = _setting(False, "Let everybody in as the owner; on loopback only.")
    test: bool = _setting(False, "Whoever comes without a key (local socket, `no_auth`) is in test mode.")
    log_format: LogFormat = _setting("text", "`text` for people, `json` for machines; one event a line on stderr.")
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "Least level that is logged.")
    otlp_endpoint: str | None = _setting(
        None, "Where OpenTelemetry traces go, such as `http://127.0.0.1:4318`; needs the extra `tracing`."
    )
    forwarded_allow_ips: str = _setting("127.0.0.1", "Proxies whose X-Forwarded-* headers are believed.")
    tls_certificate: Path | None = _setting(None, "PEM file; with it the server speaks TLS.")
    tls_key: Path | None = _setting(None, "PEM file of the certificate's private key.")
    providers: Mapping[str, Provider] = field(
        default_factory=dict,
        metadata={"doc": "OpenAI-compatible providers, each as `[providers.NAME]`.", "is_secret": False},
    )

    def __post_init__(self) -> None:
        if self.database is not None and not is_postgres(self.database):
            raise ValueError("must be a postgresql:// address")


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds of requests: sizes beyond which one is refused before it is parsed, how long a stream without an end lasts, and
    how many a key may send in a minute.

    Rates and running batches bind nobody who comes through the local socket.
    """

    reads_per_minute: int = _setting(6_000, "Reading requests of a key in a minute.", least=1)
    writes_per_minute: int = _setting(600, "Changing requests of a key in a minute.", least=1)
    uploads_per_minute: int = _setting(600, "Uploads of a key in a minute, however many pieces each has.", least=1)
    searches_per_minute: int = _setting(20, "Searches of a key in a minute.", least=1)
    running_batches: int = _setting(100, "Unfinished runs of a workspace; beyond it no more are taken.", least=1)
    webhooks: int = _setting(50, "Webhooks of a workspace.", least=1)

    json_body_bytes: int = _setting(64 << 20, "Largest JSON body; 256 KiB at most from somebody who is not known.")
    json_bodies_bytes: int = _setting(
        128 << 20,
        "Bodies of JSON, and of datapoints, held at once, all requests together; beyond it they wait outside.",
    )
    ndjson_line_bytes: int = _setting(16 << 20, "Longest line of an NDJSON body.")
    file_bytes: int = _setting(50_000_000_000, "Largest file.")
    nesting: int = _setting(64, "Deepest nesting of a JSON body.")
    header_bytes: int = _setting(32 << 10, "Path, query and headers of a request together.")
    event_stream_seconds: float = _setting(600.0, "How long an event stream lasts before its listener must come again.")
    upload_silence_seconds: float = _setting(
        30.0, "How long the next piece of a part of a resumable upload may take; what came until then is kept."
    )
    multipart_fields: int = _setting(32, "Most fields of a multipart form, the file not counted.")
    multipart_field_bytes: int = _setting(64 << 10, "Longest field of a multipart form.")


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """People who sign in."""

    registration: Registration | None = _setting(
        None,
        "Who may register: `open` is everybody, `invite` whoever has an invitation, `closed` nobody; by default open to this "
        "machine where nothing else is listened to, else by invitation.",
    )
    token_seconds: int = _setting(3_600, "How long an access token is good.", least=1)
    refresh_days: float = _setting(
        30.0, "How long a refresh token is good, and so who logged in, since the last refresh."
    )
    invitation_hours: float = _setting(168.0, "How long an invitation is good.")


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How long things are kept."""

    result_days: float = _setting(30.0, "Result lines of a finished run.")
    run_days: float = _setting(90.0, "A finished run itself, counted from the newest of its lineage.")
    batch_file_days: float = _setting(30.0, "Files of purpose `batch`.")
    upload_hours: float = _setting(24.0, "An unfinished resumable upload, since its last part.")
    unused_blob_hours: float = _setting(1.0, "Stored bytes that neither a file, a dataset nor a run points to.")
    delivery_days: float = _setting(30.0, "What was told to webhooks, and how that went.")
    idempotency_hours: float = _setting(24.0, "Idempotency keys of what was not a creation.")


@dataclass(frozen=True, slots=True)
class EngineGroup:
    """Workers and their bounds."""

    workers: int | None = _setting(None, "Worker processes; by default one a core.")
    ttl_seconds: float = _setting(10.0, "Time to live of a lease.")
    item_timeout_seconds: float = _setting(300.0, "Longest time an item may be in flight.")
    item_memory_bytes: int = _setting(2 << 30, "Resident memory at which a worker's child is killed.")
    grace_seconds: float = _setting(10.0, "How long a shutdown lets running work finish.")


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Files that workers fetch from URLs."""

    allow: tuple[str, ...] = _setting((), "Networks and hosts that may be fetched from though they are not public.")
    total_seconds: float = _setting(60.0, "Longest time for one fetch, redirects included.")
    connect_seconds: float = _setting(10.0, "Longest time to resolve a name, and to connect.")
    idle_seconds: float = _setting(20.0, "Longest silence while an answer comes.")
    bytes: int = _setting(100_000_000, "Largest file that is fetched.")

    def __post_init__(self) -> None:
        Allowed.of(self.allow)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What is sent to webhooks."""

    allow: tuple[str, ...] = _setting((), "Networks and hosts that may be sent to though they are not public.")
    total_seconds: float = _setting(15.0, "Longest time for one try.")
    rotation_hours: float = _setting(24.0, "How long the secret before the present one signs, too.")
    failing_days: float = _setting(5.0, "A webhook that nothing reached for so long is disabled.")

    def __post_init__(self) -> None:
        Allowed.of(self.allow)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Names of models, and what the embedded ones do."""

    fill_gaps: FillGaps = _setting(
        "likely",
        "Where the rules of `local/extract` find nothing: `off`, `likely` takes the only likely value, `model` also lets"
        " `local/smollm2` choose where several are as likely, which was wrong more often than right.",
    )
    aliases: Mapping[str, str] = field(
        default_factory=dict,
        metadata={"doc": "Other names for models, as `[models.aliases]`.", "is_secret": False},
    )


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """What work costs, in credits. Where nothing has a price, nobody needs any."""

    price: float = _setting(0.0, "Credits that an item costs, where its model has no price of its own.")
    prices: Mapping[str, float] = field(
        default_factory=dict,
        metadata={"doc": "Credits that an item costs, by model, as `[credits.prices]`.", "is_secret": False},
    )
    per_cost: float = _setting(
        0.0,
        "Credits that a unit of what a provider's answer cost is charged as, instead of the price; 0 charges the price.",
    )
    unit: str = _setting("credits", "What credits are called.")
    upgrade_url: str | None = _setting(None, "Where to top up, for who runs out; by default the page that explains it.")


@dataclass(frozen=True, slots=True)
class Described:
    """One setting as ``amends config`` lists it. source: default, flag, an AMENDS_ variable or a file."""

    name: str
    value: Any
    default: Any
    source: str
    doc: str


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. sources: where each that is not a default came from, by its name."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    engine: EngineGroup = field(default_factory=EngineGroup)
    models: ModelSettings = field(default_factory=ModelSettings)
    credits: CreditSettings = field(default_factory=CreditSettings)
    fetch: FetchSettings = field(default_factory=FetchSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    sources: Mapping[str, str] = field(default_factory=dict)

    def described(self) -> Iterator[Described]:
        """Every setting with its value, default and source, secrets masked, in the order of the groups."""
        plain = Settings()
        for name, group, key in _names():
            value = getattr(getattr(self, group), key)
            if name == "providers" and value:
                yield from self._described_providers()
                continue
            meta = _field(group, key).metadata
            shown = "********" if meta["is_secret"] and value is not None else value
            if name == "database" and value is not None:
                shown = masked(value)
            yield Described(
                name, shown, getattr(getattr(plain, group), key), self.sources.get(name, "default"), meta["doc"]
            )

    def _described_providers(self) -> Iterator[Described]:
        """A line for each; of a key only the variable's name is known here."""
        doc = "Its models are called `{}/…`; of a key only the variable's name is kept."
        for name, provider in self.server.providers.items():
            source = self.sources.get("providers", "default")
            yield Described(f"providers.{name}", provider.to_table(), None, source, doc.format(name))

    def with_flags(self, **flags: Any) -> Settings:
        """These settings with some named ``port`` or ``limits.nesting`` (dots as double underscores) changed; None changes nothing."""
        given = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
        return _apply(self, {name: (value, "flag") for name, value in given.items()})


def load_settings(
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Put the settings together; SettingsError for an unknown or unfit one, or a named file that is not there.

    flags: by name, None for those not given. environ: None reads no environment.
    """
    variables = environ or {}
    for variable in NOT_YET & variables.keys():
        if variables[variable]:
            raise SettingsError(
                f"{variable}: not in this version; it keeps blobs in the data directory, and its workers run on this machine"
            )
    taken: dict[str, tuple[Any, str]] = {}
    for name, _, _ in _names():
        variable = "AMENDS_" + name.replace(".", "_").upper()
        if variable in variables:
            taken[name] = (variables[variable], variable)
    taken |= {name: (value, "flag") for name, value in (flags or {}).items() if value is not None}
    data = Path(taken["data"][0]) if "data" in taken else ServerSettings().data
    file = _config_file(
        config or (Path(variables["AMENDS_CONFIG"]) if variables.get("AMENDS_CONFIG") else None), cwd, data
    )
    from_file = {name: (value, str(file)) for name, value in _read(file)} if file else {}
    return _apply(Settings(), from_file | taken)


def _config_file(named: Path | None, cwd: Path | None, data: Path) -> Path | None:
    if named is not None:
        if not named.is_file():
            raise SettingsError(f"No such configuration file: {named}")
        return named
    places = ((cwd or Path()) / "amends.toml", data / "amends.toml")
    return next((place for place in places if place.is_file()), None)


def _read(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
    groups = {group.name for group in fields(Settings)} - {"server", "sources"}
    for key, value in document.items():
        if key in groups and isinstance(value, dict):
            yield from ((f"{key}.{inner}", given) for inner, given in value.items())
        else:
            yield key, value


def _names() -> Iterator[tuple[str, str, str]]:
    """(name, group, key) of every setting."""
    for group in fields(Settings):
        if group.name != "sources":
            for entry in fields(_group_class(group.name)):
                yield (entry.name if group.name == "server" else f"{group.name}.{entry.name}"), group.name, entry.name


def _group_class(group: str) -> Any:
    return get_type_hints(Settings)[group]


def _field(group: str, key: str) -> Any:
    return next(entry for entry in fields(_group_class(group)) if entry.name == key)


def _apply(settings: Settings, given: Mapping[str, tuple[Any, str]]) -> Settings:
    known = {name: (group, key) for name, group, key in _names()}
    for name, (value, source) in given.items():
        if name not in known:
            raise SettingsError(f"{source}: there is no setting {name!r}")
        group, key = known[name]
        kind = get_type_hints(_group_class(group))[key]
        try:
            fitted = _at_least(_field(group, key).metadata.get("least", 0), _fit(value, kind))
            changed = replace(getattr(settings, group), **{key: fitted})
        except ValueError as error:
            raise SettingsError(f"{source}: {name}: {error}") from error
        settings = replace(settings, **{group: changed}, sources={**settings.sources, name: source})
    return settings


def _at_least(least: int, value: Any) -> Any:
    if least and value < least:
        raise ValueError(f"must be {least} at least")
    return value


def _fit(value: Any, kind: Any) -> Any:
    """The value as the setting's type; strings come from the environment and are read."""
    options = get_args(kind)
    if get_origin(kind) is Literal:
        if value not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return value
    if type(None) in options:
        return (
            None if value in (None, "") else _fit(value, next(option for option in options if option is not type(None)))
        )
    if options == (str, Provider):
        return read_providers(value)
    if get_origin(kind) is tuple:
        return _fit_list(value)
    if get_origin(kind) is not None:
        inner = options[1]
        if not isinstance(value, Mapping) or not all(isinstance(part, str | inner) for part in value.values()):
            raise ValueError(f"must be a table of {'strings' if inner is str else 'numbers'}")
        return {name: _fit_plain(part, inner) for name, part in value.items()}
    return _fit_plain(value, kind)


def _fit_list(value: Any) -> tuple[str, ...]:
    """A list of strings; one string is split at its commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be a list of strings")
    return tuple(stripped for part in parts if (stripped := part.strip()))


_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
    "": False,
}


def _fit_plain(value: Any, kind: Any) -> Any:
    if kind is bool:
        if str(value).lower() not in _WORDS:
            raise ValueError("must be true or false")
        return _WORDS[str(value).lower()]
    if kind in (int, float):
        if (
            not isinstance(value, str | int | float)
            or isinstance(value, bool)
            or (kind is int and isinstance(value, float))
        ):
            raise ValueError("must be a whole number" if kind is int else "must be a number")
        try:
            number = kind(value)
        except ValueError as error:
            raise ValueError(f"must be {'a whole number' if kind is int else 'a number'}, not {value!r}") from error
        if not 0 <= number < float("inf"):
            raise ValueError("must not be negative")
        return number
    if not isinstance(value, str | Path):
        raise ValueError("must be a string")
    return kind(value)
