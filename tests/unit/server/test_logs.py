import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from amends.server.logs import REQUEST_ID, configure_logs


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
