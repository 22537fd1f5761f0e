from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amends.server.settings import Settings, SettingsError, load_settings


def test_without_anything_given_all_are_defaults(tmp_path: Path) -> None:
    assert load_settings(cwd=tmp_path) == Settings()
    assert {row.source for row in Settings().described()} == {"default"}


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "amends.toml").write_text("port = 1\nhost = 'a'\nlog_format = 'json'\n[limits]\nnesting = 10\n")
    environ = {"AMENDS_PORT": "2", "AMENDS_HOST": "b", "AMENDS_UNRELATED": "x"}
    settings = load_settings(cwd=tmp_path, environ=environ, flags={"port": 3, "host": None})
    server = settings.server
    assert (server.port, server.host, server.log_format, settings.limits.nesting) == (3, "b", "json", 10)
    sources = {row.name: row.source for row in settings.described()}
    assert sources["port"] == "flag"
    assert sources["host"] == "AMENDS_HOST"
    assert sources["limits.nesting"] == str(tmp_path / "amends.toml")


def test_a_named_file_is_taken_instead_of_the_one_at_hand(tmp_path: Path) -> None:
    (tmp_path / "amends.toml").write_text("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")
    assert load_settings(cwd=tmp_path, config=tmp_path / "other.toml").server.port == 2
    assert load_settings(cwd=tmp_path, environ={"AMENDS_CONFIG": str(tmp_path / "other.toml")}).server.port == 2


def test_the_data_directory_may_hold_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "amends.toml").write_text("port = 7")
    assert load_settings(cwd=tmp_path, flags={"data": tmp_path / "data"}).server.port == 7


def test_aliases_are_a_table(tmp_path: Path) -> None:
    (tmp_path / "amends.toml").write_text('[models.aliases]\n"gpt-x" = "local/echo"\n')
    assert load_settings(cwd=tmp_path).models.aliases == {"gpt-x": "local/echo"}


def test_what_may_be_fetched_from_is_a_list_of_networks_and_hosts(tmp_path: Path) -> None:
    (tmp_path / "amends.toml").write_text('[fetch]\nallow = ["10.0.0.0/8", "files.internal"]\n')
    assert load_settings(cwd=tmp_path).fetch.allow == ("10.0.0.0/8", "files.internal")
    environ = {"AMENDS_FETCH_ALLOW": "::1, files.internal,"}
    assert load_settings(cwd=tmp_path, environ=environ).fetch.allow == ("::1", "files.internal")
    for wrong in ("http://files.internal", "10.0.0.0/40"):
        with pytest.raises(SettingsError, match=r"AMENDS_FETCH_ALLOW: fetch\.allow: .* is neither a network"):
            load_settings(cwd=tmp_path, environ={"AMENDS_FETCH_ALLOW": wrong})


def test_providers_are_listed_each_with_the_name_of_its_key(tmp_path: Path) -> None:
    (tmp_path / "amends.toml").write_text(
        '[providers.acme]\nbase_url = "https://acme.example/v1"\nkey_variable = "ACME_KEY"\n[providers.other]\n'
        'base_url = "http://127.0.0.1:1/v1"\nprice = {input = 0.5}\n'
    )
    settings = load_settings(cwd=tmp_path, environ={"ACME_KEY": "sk-secret"})
    assert settings.server.providers["other"].price.input == 0.5
    listed = {row.name: row.value for row in settings.described() if row.name.startswith("providers")}
    assert listed.keys() == {"providers.acme", "providers.other"}
    assert listed["providers.acme"]["endpoints"][0]["key_variable"] == "ACME_KEY"
    assert "sk-secret" not in str(listed)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = 'x'", "port"),
        ("port = 1.5", "whole number"),
        ("port = true", "whole number"),
        ("port = -1", "negative"),
        ("prot = 1", "no setting 'prot'"),
        ('[fetch]\nallow = "a/b"', "fetch.allow"),
        ("[fetch]\nallow = [1]", "list of strings"),
        ("[limits]\nnesting = []", "limits.nesting"),
        ("[limits]\nnestig = 1", "no setting 'limits.nestig'"),
        ("log_format = 'xml'", "one of text, json"),
        ("no_auth = 'perhaps'", "true or false"),
        ("host = 5", "must be a string"),
        ("[models.aliases]\na = 1", "table of strings"),
        ("[providers.acme]\nurl = 'x'", "providers: acme: give either base_url or endpoints"),
        ("providers = 1", "providers: must be tables"),
        ("= broken", "amends.toml"),
    ],
)
def test_what_cannot_be_taken_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "amends.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"amends\.toml") as raised:
        load_settings(cwd=tmp_path)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("variable", ["AMENDS_BLOBS", "AMENDS_EXECUTOR"])
def test_what_a_later_version_will_take_is_refused_and_not_ignored(variable: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: not in this version"):
        load_settings(environ={variable: "somewhere"})
    assert load_settings(environ={variable: ""}) == Settings()


def test_a_database_is_named_by_its_address_and_shown_without_its_password() -> None:
    settings = load_settings(environ={"AMENDS_DATABASE": "postgresql://ada:s3cret@db/amends"})
    assert settings.server.database == "postgresql://ada:s3cret@db/amends"
    shown = {one.name: one.value for one in settings.described()}["database"]
    assert shown == "postgresql://ada:********@db/amends"
    assert "s3cret" not in repr(settings)
    with pytest.raises(SettingsError, match="AMENDS_DATABASE: database: must be a postgresql:// address") as caught:
        load_settings(environ={"AMENDS_DATABASE": "mysql://ada:s3cret@db/amends"})
    assert "s3cret" not in str(caught.value)


def test_what_is_no_number_is_told_in_words() -> None:
    with pytest.raises(SettingsError, match="AMENDS_PORT: port: must be a whole number, not 'x'"):
        load_settings(environ={"AMENDS_PORT": "x"})


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such configuration file"):
        load_settings(config=tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("variable", "value", "read"),
    [
        ("AMENDS_NO_AUTH", "true", ("server", "no_auth", True)),
        ("AMENDS_NO_AUTH", "0", ("server", "no_auth", False)),
        ("AMENDS_PUBLIC_URL", "https://x", ("server", "public_url", "https://x")),
        ("AMENDS_PUBLIC_URL", "", ("server", "public_url", None)),
        ("AMENDS_ENGINE_WORKERS", "3", ("engine", "workers", 3)),
        ("AMENDS_RETENTION_RESULT_DAYS", "0.5", ("retention", "result_days", 0.5)),
        ("AMENDS_DATA", "/x", ("server", "data", Path("/x"))),
    ],
)
def test_variables_are_read_as_their_settings_type(
    tmp_path: Path, variable: str, value: str, read: tuple[str, str, Any]
) -> None:
    group, key, expected = read
    found = getattr(getattr(load_settings(cwd=tmp_path, environ={variable: value}), group), key)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, Path)


def test_every_setting_says_what_it_is() -> None:
    rows = list(Settings().described())
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.doc.endswith(".") for row in rows)
