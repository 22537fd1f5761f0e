from __future__ import annotations

import copy
import logging
import pickle

import pytest

from amends import AsyncClient, Client
from amends.client import NO_KEY
from amends.client._settings import resolve_api_key, resolve_base_url
from amends.exceptions import ConfigurationError
from amends.testing import FakeTransport, Reply


def test_missing_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENDS_API_KEY", raising=False)
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigurationError, match="AMENDS_API_KEY"):
            kind()


def test_environment_fills_what_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_API_KEY", "ak_live_fromtheenvironment")
    monkeypatch.setenv("AMENDS_BASE_URL", "https://amends.example/base/")
    transport = FakeTransport(Reply(json={"role": "owner"}))
    with Client(http_client=transport.http_client()) as client:
        assert client.base_url == "https://amends.example/base"
        assert client.me().role == "owner"
    assert transport.requests[0].headers["authorization"] == "Bearer ak_live_fromtheenvironment"
    assert transport.requests[0].raw_path == "/base/v1/me"


def test_no_key_sends_none() -> None:
    transport = FakeTransport(Reply(json={}))
    Client(NO_KEY, http_client=transport.http_client()).me()
    assert "authorization" not in transport.requests[0].headers
    assert resolve_api_key(NO_KEY, {"AMENDS_API_KEY": "ak_live_x"}) is None


@pytest.mark.parametrize(
    "key",
    ["", "ak live", "ak_live_x\n", "ak\r\nX-Evil: 1", "schlüssel", "\x00", "ak_live_\u200b"],
)
def test_key_that_cannot_be_one_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_api_key(key, {})
    assert key == "" or key not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        (None, "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("https://amends.example:8443/", "https://amends.example:8443"),
        ("https://amends.example/a/b//", "https://amends.example/a/b"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_right_base_urls(given: str | None, right: str) -> None:
    assert resolve_base_url(given, {}) == right


@pytest.mark.parametrize(
    "given",
    [
        "",
        "localhost:8080",
        "ftp://amends.example",
        "http://",
        "http:///path",
        "http://amends.example:99999",
        "http://amends.example:port",
        "http://[::1",
        "http://a b",
        "http://amends.example/\n",
        "http://amends.example?x=1",
        "http://amends.example/#there",
        "http://user:pässword@amends.example",
        "http://user:password@amends.example",
        "javascript:alert(1)",
    ],
)
def test_malformed_base_urls_are_refused(given: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_base_url(given, {})
    assert "password" not in str(caught.value).replace("a user or password", "")


def test_key_shows_in_no_repr_no_log_and_no_exception(caplog: pytest.LogCaptureFixture) -> None:
    key = "ak_live_" + "s3cr3t" * 5
    transport = FakeTransport(Reply(401, json={"detail": "no"}))
    client = Client(key, http_client=transport.http_client())
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is
        client.me()
    shown = [
        repr(client),
        str(client),
        repr(client._context),
        repr(vars(client)),
        repr(client.files),
        str(caught.value),
    ]
    shown += [repr(caught.value), caplog.text, *(repr(vars(record)) for record in caplog.records)]
    assert "s3cr3t" not in " ".join(shown)
    assert "ak_live_***" in repr(client)


def test_new_key_is_kept_out_of_repr() -> None:
    transport = FakeTransport(Reply(201, json={"id": "key_1", "key": "ak_live_s3cr3t", "role": "viewer"}))
    made = Client("k", http_client=transport.http_client()).api_keys.create(role="viewer")
    assert made.key == "ak_live_s3cr3t"
    assert "s3cr3t" not in repr(made)


def test_clients_do_not_pickle_and_say_what_to_do() -> None:
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(Client("k"))
    with pytest.raises(TypeError, match="make one in each process"):
        copy.deepcopy(AsyncClient("k"))


def test_with_options_changes_a_copy_only() -> None:
    transport = FakeTransport(*[Reply(json={"id": "file_1"})] * 3)
    client = Client("k", http_client=transport.http_client())
    quick = client.with_options(timeout=1.5, deadline=9, max_retries=0)
    assert "timeout=1.5, deadline=9, max_retries=0" in repr(quick)
    assert "timeout=30.0, deadline=None, max_retries=3" in repr(client)
    assert "deadline=None" in repr(quick.with_options(deadline=None))
    client.files.get("file_1")
    quick.files.get("file_1")
    client.files.get("file_1")
    assert [request.headers["amends-timeout"] for request in transport.requests] == ["30.000", "1.500", "30.000"]


def test_copy_leaves_the_connections_open() -> None:
    client = Client("k")
    client.with_options(max_retries=0).close()
    assert not client._loop.http.is_closed
    client.close()
    assert client._loop.http.is_closed


def test_pool_handed_in_is_left_open() -> None:
    http = FakeTransport().http_client()
    Client("k", http_client=http).close()
    assert not http.is_closed


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"deadline": -1}, {"max_retries": -1}, {"timeout": float("nan")}])
def test_senseless_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not "):
        Client("k", **settings)  # type: ignore[arg-type]
