import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from amends.server.logs import REQUEST_ID, RequestLines, Seen, configure_logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)
    logging.getLogger("amends").handlers.clear()


def said(capsys: pytest.CaptureFixture[str], log_format: str, **fields: object) -> str:
    configure_logs(log_format)  # type: ignore[arg-type]
    named = REQUEST_ID.set("req_1")
    structlog.get_logger().warning("request_failed", **fields)
    REQUEST_ID.reset(named)
    return capsys.readouterr().err


def test_a_line_of_a_file_is_laid_out_as_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {
        "path": "/v1/files",
        "query": "a=b",
        "name": "größe",
        "detail": 'It\'s gone, "all"\nof it',
        "status": 503,
        "principal": None,
        "empty": "",
    }
    line = said(capsys, "text", **fields).split(" ", 1)[1]
    console = structlog.dev.ConsoleRenderer(colors=False)
    shown = console(None, "warning", {"event": "request_failed", "level": "warning", "request_id": "req_1", **fields})
    assert line == f"{shown}\n"
    assert line.count("\n") == 1


def test_a_line_goes_where_standard_error_goes_now(capsys: pytest.CaptureFixture[str]) -> None:
    assert "request_failed" in said(capsys, "text")
    assert not sys.stderr.isatty()


def test_json_lines_hold_every_field_and_what_json_has_no_word_for(capsys: pytest.CaptureFixture[str]) -> None:
    row = json.loads(said(capsys, "json", status=503, error=ValueError("bad"), kinds={"a"}))
    assert (row["event"], row["level"], row["request_id"], row["status"]) == ("request_failed", "warning", "req_1", 503)
    assert "bad" in row["error"]
    assert row["timestamp"].endswith("Z")


def test_a_standard_librarys_logger_speaks_alike(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("text")
    logging.getLogger("amends.thing").warning("told %s", "so", extra={"colour": "red"})
    assert "[warning  ] told so" in (line := capsys.readouterr().err)
    assert "colour=red" in line


SEEN = Seen("GET", 0.4, "/v1/things/one", "key_1", "req_1", 200, "ws_1")


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "seen",
    [
        SEEN,
        SEEN._replace(path='/a b/="x"\nforged', request_id="own=1", status=404),
        SEEN._replace(principal=None, workspace_id=None),
    ],
)
@pytest.mark.parametrize("is_reading", [True, False])
def test_the_line_of_a_request_is_what_structlog_would_make_of_it(
    capsys: pytest.CaptureFixture[str], log_format: str, seen: Seen, is_reading: bool
) -> None:
    configure_logs(log_format, "debug")  # type: ignore[arg-type]
    RequestLines().note(seen, is_reading=is_reading)
    own = capsys.readouterr().err
    structlog.get_logger().log(logging.DEBUG if is_reading else logging.INFO, "request", **seen._asdict())
    theirs = capsys.readouterr().err
    assert own.count("\n") == theirs.count("\n") == 1
    assert parsed(own, log_format) == parsed(theirs, log_format)


def parsed(line: str, log_format: str) -> object:
    """A line without the time at which it was written."""
    return json.loads(line) | {"timestamp": ""} if log_format == "json" else line.partition("Z ")[2]


def test_a_terminal_gets_the_line_of_a_request_in_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    configure_logs("text", "debug")
    RequestLines().note(SEEN, is_reading=True)
    assert "\x1b[" in capsys.readouterr().err


@pytest.mark.parametrize(("level", "told"), [("debug", [True, False]), ("info", [False]), ("warning", [])])
def test_whoever_only_looked_is_told_of_to_whoever_looks_for_a_fault(
    capsys: pytest.CaptureFixture[str], level: str, told: list[bool]
) -> None:
    configure_logs("text", level)
    for is_reading in (True, False):
        RequestLines().note(SEEN, is_reading=is_reading)
        assert bool(capsys.readouterr().err) == (is_reading in told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", buffering=1, encoding="utf-8") as full:
        with pytest.raises(OSError, match="No space"):
            print("so it does fail", file=full)
        monkeypatch.setattr(sys, "stderr", full)
        configure_logs("text", "debug")
        RequestLines().note(SEEN, is_reading=True)
        structlog.get_logger().warning("lost")
        logging.getLogger("amends.thing").warning("lost too")
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
