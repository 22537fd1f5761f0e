"""Commands against a running server, over TCP with a key and over the data directory's socket without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from amends.server.owner import Owner
from amends.server.settings import Settings
from tests.commands import Commands, lines_of
from tests.postgres import own_database
from tests.servers import RunningServer, server_process

SCHEMA = json.dumps({"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]})
EXTRACT = ("--model", "local/extract", "--schema", SCHEMA)
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def amends(tmp_path: Path, server: RunningServer) -> Commands:
    return Commands(tmp_path, {"AMENDS_SERVER": server.base_url, "AMENDS_API_KEY": server.key})


def test_run_failures_retry_and_results_on_a_server(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "good.txt").write_text("Number: 1")
    (tmp_path / "in" / "bad.txt").write_text("nothing here")
    ran = amends("run", "in", *EXTRACT, "-o", "out.jsonl", "--json")
    assert ran.code == 3, ran.err
    run = ran.document["id"]
    shown = amends("failures", run)
    assert "prediction_failed  ×1" in shown.out
    assert f"amends retry {run} --type prediction_failed --server" in shown.out
    groups = amends("failures", run, "--json").document["data"]
    assert [(group["slug"], group["count"]) for group in groups] == [("prediction_failed", 1)]

    (tmp_path / "in" / "bad.txt").write_text("Number: 2")
    mended = amends("retry", run, "--type", "prediction_failed", "-o", "out.csv")
    assert mended.code == 0, mended.err
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ["bad.txt,succeeded,2,,", "good.txt,succeeded,1,,"]
    assert amends("results", run, "-o", "out.parquet", "-q").err == ""
    assert (tmp_path / "out.parquet").read_bytes()[:4] == b"PAR1"
    listed = amends("runs", "--json", "--limit", "1").document
    assert listed[0]["parent_id"] == run


def test_missing_server_extra_is_not_needed_to_speak_to_a_server(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"text": "a"}')
    blocked = "import sys; sys.modules.update(fastapi=None, uvicorn=None, apsw=None, pyarrow=None, jsonschema_rs=None, onnxruntime=None)"
    script = f"{blocked}; from amends.cli import main; sys.argv = ['amends', *sys.argv[1:]]; main()"

    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-c", script, *arguments),
            cwd=tmp_path,
            env={**amends._environ(environ)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    over_http = run("run", "m.jsonl", "--model", "local/echo", "-o", "out.jsonl")
    assert over_http.returncode == 0, over_http.stderr
    assert len(lines_of(tmp_path / "out.jsonl")) == 1
    alone = run("runs", AMENDS_SERVER="")
    assert alone.returncode == 1
    assert "pip install 'amends[server,models]'" in alone.stderr
    assert alone.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        (["runs"], {"AMENDS_SERVER": "http://127.0.0.1:9"}, 5, "127.0.0.1"),
        (["runs"], {"AMENDS_SERVER": "no address"}, 2, "base URL is malformed"),
        (["runs"], {"AMENDS_API_KEY": "ak_live_wrong"}, 4, "Invalid authentication credentials"),
        (["runs"], {"AMENDS_API_KEY": ""}, 2, "AMENDS_API_KEY"),
        (["results", "bpred_nowhere"], {}, 4, "not found"),
        (["cancel", "bpred_nowhere"], {}, 4, "not found"),
        (["run", "m.csv", "--model", "local/nothing"], {}, 4, "local/nothing"),
        (["run", "m.csv", "--model", "local/echo", "--test"], {}, 2, "key of test mode"),
        (["run", "m.csv", "--model", "local/echo", "-o", "x.xlsx"], {}, 2, ".parquet"),
    ],
)
def test_refusal_is_one_line_with_its_code(
    amends: Commands, tmp_path: Path, arguments: list[str], environ: dict[str, str], code: int, said: str
) -> None:
    (tmp_path / "m.csv").write_text("text\na\n")
    ended = amends(*arguments, **environ)
    assert (ended.code, ended.out) == (code, "")
    assert said.lower() in ended.err.lower()
    assert ended.err.startswith("amends: ")
    assert ended.err.count("\n") == 1


def test_keys_are_made_and_revoked_through_the_socket_of_a_running_server(
    server: RunningServer, tmp_path: Path
) -> None:
    amends = Commands(tmp_path)
    there = ("--data", str(server.data))
    key = amends("keys", "create", "--role", "viewer", "--user", "ada", "--workspace", "other", "--quiet", *there)
    assert key.code == 0, key.err
    assert key.err == ""
    secret = key.out.strip()
    assert secret.startswith("ak_live_")
    with server.client(secret) as client:
        assert client.get("/v1/me").json()["role"] == "viewer"
        assert client.get("/v1/me").json()["workspace_id"] != server.owner.services.default_workspace_id
    test = amends("keys", "create", "--test", "--json", *there).document
    assert test["key"].startswith("ak_test_")
    assert amends("keys", "revoke", test["id"], *there).code == 0
    with server.client(test["key"]) as client:
        assert client.get("/v1/me").status_code == 401
    assert test["id"] in amends("keys", "list", *there).out


def test_people_are_invited_changed_and_removed_through_the_socket(server: RunningServer, tmp_path: Path) -> None:
    amends = Commands(tmp_path)
    there = ("--data", str(server.data))
    invited = amends("users", "invite", "--role", "viewer", "--hours", "1", "--quiet", *there)
    assert (invited.code, invited.err) == (0, "")
    person = {"email": "ada@example.org", "password": "correct horse battery", "invitation": invited.out.strip()}
    with server.client("") as client:
        user = client.post("/api/auth/register", json=person).json()
    assert user["role"] == "viewer"
    assert amends("users", "change", user["id"], "--role", "member", *there).code == 0
    rows = amends("users", "list", "--json", *there).document
    assert [(row["email"], row["role"]) for row in rows if row["id"] == user["id"]] == [("ada@example.org", "member")]
    assert "ada@example.org" in amends("users", "list", *there).out
    assert amends("users", "remove", user["id"], *there).code == 0
    again = amends("users", "remove", user["id"], *there)
    assert (again.code, again.out) == (4, "")
    assert "User not found" in again.err


def test_run_on_the_directory_of_a_running_server_submits_there(server: RunningServer, tmp_path: Path) -> None:
    amends = Commands(tmp_path)
    (tmp_path / "m.jsonl").write_text('{"text": "over the socket"}')
    ran = amends("run", "m.jsonl", "--model", "local/echo", "--data", str(server.data), "-o", "out.jsonl", "--json")
    assert ran.code == 0, ran.err
    with server.client() as client:
        assert client.get(f"/v1/runs/{ran.document['id']}").json()["status"] == "completed"


def test_cancel_expire_and_purge_do_what_they_say(amends: Commands, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps({"text": str(n)}) for n in range(4)))
    part = ("run", "m.jsonl", "--model", "local/echo", "--limit", "1", "--json", "-q", "-o", "out.jsonl")
    run = amends(*part).document["id"]
    assert amends("cancel", run).code == 0
    until_ended = amends("run", "m.jsonl", "--model", "local/echo", "-q", "-o", "out.jsonl")
    assert until_ended.code == 3
    assert [line["status"] for line in lines_of(tmp_path / "out.jsonl").values()] == ["succeeded"] + ["canceled"] * 3
    run = amends(*part, "--new").document["id"]
    assert amends("expire", run).code == 0
    assert amends("run", "m.jsonl", "--model", "local/echo", "-q", "-o", "out.jsonl").code == 3
    assert [line["status"] for line in lines_of(tmp_path / "out.jsonl").values()] == ["succeeded"] + ["expired"] * 3
    assert amends("purge", run).code == 0
    gone = amends("results", run)
    assert gone.code == 4
    assert "no longer available because they were deleted after the retention period" in gone.err


@pytest.mark.parametrize("name", ["batch.py", "async_batch.py", "journal.py"])
def test_examples_of_the_documentation_run(server: RunningServer, name: str, tmp_path: Path) -> None:
    found = subprocess.run(
        (sys.executable, str(ROOT / "examples" / name)),
        env={**Commands(tmp_path)._environ({}), "AMENDS_BASE_URL": server.base_url, "AMENDS_API_KEY": server.key},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    expected = {
        "batch.py": "empty.txt FAILED: The file is empty",
        "async_batch.py": "sum 499500",
        "journal.py": "complete",
    }
    assert expected[name] in found.stdout


def test_what_stops_an_owner_is_one_line_and_1(tmp_path: Path) -> None:
    amends = Commands(tmp_path)
    with server_process(tmp_path / "data") as running:
        port = running.base_url.rsplit(":", 1)[1]
        taken = amends("serve", "--data", "other", "--port", port)
        assert (taken.code, taken.err.count("\n")) == (1, 1)
        assert f"Port {port}" in taken.err
        assert not (tmp_path / "other").exists()
        held = amends("serve", "--data", "data", "--port", "0")
        assert (held.code, held.err.count("\n")) == (1, 1)
        assert str(running.process.pid) in held.err
    assert amends("serve", "--host", "0.0.0.0", "--no-auth", "--port", "0").code == 1


@pytest.mark.sqlite
def test_a_file_of_a_newer_version_is_one_line_and_left_alone(tmp_path: Path) -> None:
    import apsw

    amends = Commands(tmp_path)
    (tmp_path / "m.jsonl").write_text('{"text": "a"}')
    assert amends("run", "m.jsonl", "--model", "local/echo", "--data", "data").code == 0
    database = apsw.Connection(str(tmp_path / "data" / "amends.db"))
    database.execute("PRAGMA user_version = 999")
    database.close()
    before = (tmp_path / "data" / "amends.db").read_bytes()
    newer = amends("run", "m.jsonl", "--model", "local/echo", "--data", "data")
    assert (newer.code, newer.err.count("\n")) == (1, 1), newer.err
    assert "999" in newer.err
    assert (tmp_path / "data" / "amends.db").read_bytes() == before


def test_directory_held_by_another_run_is_refused_with_its_pid(tmp_path: Path) -> None:
    amends = Commands(tmp_path)
    (tmp_path / "m.jsonl").write_text('{"text": "a"}')
    own = Settings().with_flags(data=tmp_path / ".amends", database=own_database(tmp_path))
    with Owner(own, command="run", engine=None):
        second = amends("run", "m.jsonl", "--model", "local/echo")
        assert (second.code, second.err.count("\n")) == (1, 1), second.err
        assert f"another amends run (process {os.getpid()})" in second.err
        assert amends("runs").code == 0, "other commands speak to its socket"


def test_doctor_finds_everything_in_order(amends: Commands, server: RunningServer) -> None:
    found = amends("doctor", "--json")
    assert found.code == 0, found.out
    assert {one["name"] for one in found.document} >= {"Python", "SQLite", "Disk", "Server", "Conservation"}


@pytest.mark.sqlite
@pytest.mark.parametrize("command", [("runs",), ("serve", "--port", "0"), ("doctor",)])
def test_damaged_database_is_one_line_that_names_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / ".amends").mkdir()
    (tmp_path / ".amends" / "amends.db").write_bytes(b"no database" * 1_000)
    found = Commands(tmp_path)(*command)
    assert found.code == 1
    assert "The database in .amends is damaged" in found.out + found.err
    assert (tmp_path / ".amends" / "amends.db").read_bytes() == b"no database" * 1_000


def test_doctor_goes_on_where_no_server_answers(tmp_path: Path) -> None:
    found = Commands(tmp_path)("doctor", "--server", "http://127.0.0.1:9", "--json", AMENDS_API_KEY="ak_live_x")
    assert found.code == 1
    (server,) = (one for one in found.document if one["name"] == "Server")
    assert not server["is_ok"]
    assert "refused" in server["detail"]
