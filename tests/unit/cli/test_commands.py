"""Commands that need no server, and how every command is shaped."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from amends.cli._app import Status, app, main
from amends.cli._options import twin_of
from amends.engine import TRANSITIONS
from amends.problems import CATALOGUE

COMMANDS = [("run",), ("runs",), ("watch",), ("item",), ("results",), ("failures",), ("retry",), ("cancel",), ("expire",), ("purge",), ("serve",), ("keys", "create"),
            ("keys", "list"), ("keys", "revoke"), ("users", "list"), ("users", "invite"), ("users", "change"), ("users", "remove"), ("models", "install"), ("models", "list"), ("explain",), ("doctor",), ("config",), ("version",)]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_the_flags_that_all_have(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr().out
    for flag in ("--server", "--data", "--json", "--quiet"):
        assert flag in said


def test_every_flag_and_argument_of_every_command_is_explained() -> None:
    page = app.generate_docs(output_format="markdown")
    entries = [line for line in page.splitlines() if line.startswith(("* `-", "* `")) and not line.startswith("* [")]
    assert len(entries) > 100
    assert [line for line in entries if not re.match(r"\* `[^`]+`: [A-Za-z`]", line)] == []


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["bogus"], 'Unknown command "bogus"'),
        (["run", "x"], "--model requires an argument"),
        (["run", "x", "--model", "m", "--limit", "many"], "Invalid value for --limit"),
        (["run", "--model", "m", "--nope"], "Unknown option: --nope"),
        (["run", "/nowhere/at/all", "--model", "local/echo"], "No such folder or file: /nowhere/at/all"),
        (["runs", "--limit", "1000"], "Invalid value"),
        (["runs", "--status", "done"], '"completed"'),
        (["explain", "rate_limit_exceded"], "did you mean rate_limit_exceeded?"),
    ],
)
def test_bad_usage_is_one_line_and_2(tokens: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tokens) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("slug", list(CATALOGUE))
def test_explain_knows_every_type_by_slug_code_and_address(slug: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", slug]) == 0
    said = capsys.readouterr().out
    assert CATALOGUE[slug].meaning in said
    assert CATALOGUE[slug].remedy.hint in said
    assert main(["explain", f"http://127.0.0.1:8080/errors/{slug}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slug"] == slug


def test_explain_finds_an_error_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "WORKER_CRASHED"]) == 0
    assert capsys.readouterr().out.startswith("batch_item_processing_failed")


def test_explain_tells_what_to_do_about_the_very_code(capsys: pytest.CaptureFixture[str]) -> None:
    row = CATALOGUE["unprocessable_content"]
    assert row.remedy_for("DOCUMENT_ENCRYPTED") != row.remedy
    assert main(["explain", "document_encrypted"]) == 0
    assert row.remedy_for("DOCUMENT_ENCRYPTED").hint in capsys.readouterr().out
    assert main(["explain", "DOCUMENT_ENCRYPTED", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remedy"] == row.remedy_for("DOCUMENT_ENCRYPTED").to_dict()


def test_status_flag_knows_the_states_of_a_run() -> None:
    assert {*get_args(Status), "receiving"} == set(TRANSITIONS)


def test_config_lists_every_setting_with_its_source(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path_factory.mktemp("config")
    (place / "amends.toml").write_text("port = 9999\n[limits]\nnesting = 7\n")
    monkeypatch.chdir(place)
    monkeypatch.setenv("AMENDS_ENGINE_WORKERS", "3")
    assert main(["config", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert (found["port"]["value"], found["limits.nesting"]["value"]) == (9999, 7)
    assert found["engine.workers"]["source"] == "AMENDS_ENGINE_WORKERS"
    assert found["host"]["source"] == "default"


def test_unknown_setting_is_bad_usage(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path_factory.mktemp("config")
    (place / "amends.toml").write_text("colour = 'red'\n")
    monkeypatch.chdir(place)
    assert main(["config"]) == 2
    assert "no setting 'colour'" in capsys.readouterr().err


def test_flag_has_its_environment_twin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert twin_of("--no-auth") == "AMENDS_NO_AUTH"
    monkeypatch.setenv("AMENDS_JSON", "true")
    assert main(["version"]) == 0
    assert "version" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "failures" in capsys.readouterr().out
