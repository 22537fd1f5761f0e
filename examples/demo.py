"""The main job over real files, some of them broken: server, results, failures with remedies, one cause mended, the merged result.

Run by ``make demo``. Everything it does it does through the ``amends`` command, as a person would; it ends with 0 only if every count is
what it must be.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from amends import Client  # noqa: E402  the repository's root must be importable first
from examples.demo_inputs import PHOTOS, SCHEMA, Prepared, prepare  # noqa: E402

PLACE = ROOT / "build" / "demo"
AMENDS = (sys.executable, "-m", "amends.cli")
START_SECONDS = 30


def main() -> int:
    started = time.monotonic()
    sys.stdout.reconfigure(line_buffering=True)  # so that it keeps its place among what the commands say on stderr
    shutil.rmtree(PLACE, ignore_errors=True)
    prepared = prepare(PLACE)
    os.chdir(PLACE)
    Path("schema.json").write_text(json.dumps(SCHEMA, indent=2))
    heading(
        f"{len(PHOTOS) + len(prepared.truth)} real inputs and {len(prepared.broken)} broken ones, in {PLACE.relative_to(ROOT)}"
    )
    with server() as url:
        os.environ["AMENDS_API_KEY"] = amends("keys", "create", "--role", "member", "--quiet", "--data", "data").strip()
        os.environ["AMENDS_SERVER"] = url
        show_work(prepared)
    print(f"\nDone in {time.monotonic() - started:.0f} s. The files are in {PLACE.relative_to(ROOT)}.")
    return 0


def show_work(prepared: Prepared) -> None:
    heading("Label the photographs")
    amends("run", "photos", "--model", "local/image-labels", "-o", "photos.jsonl", expected=3)
    photos = read("photos.jsonl")
    show(photos, lambda output: ", ".join(f"{label['name']} {label['score']:.2f}" for label in output["labels"][:2]))

    heading("Read the documents")
    extract = ("--model", "local/extract", "--schema", "schema.json")
    amends("run", "documents/manifest.csv", *extract, "-o", "documents.jsonl", expected=3)
    documents = read("documents.jsonl")
    show(documents, lambda output: f"{output['name']} {output['version']}")
    check(prepared, {**photos, **documents})

    with Client(base_url=os.environ["AMENDS_SERVER"]) as client:
        run = next(run for run in client.runs.list() if run.model == "local/extract").id
        heading("Mend one cause: the missing file arrives, and only what failed for that is tried again")
        shutil.copy("documents/numpy.txt", prepared.missing)
        amends("retry", run, "--type", "file_not_found", "-o", "documents.jsonl")
        merged = read("documents.jsonl")
        must(merged["late.txt"]["status"] == "succeeded", "the mended item succeeds")
        must({**merged, "late.txt": None} == {**documents, "late.txt": None}, "nothing else changes")
        heading("The merged result")
        counts = Counter(line["status"] for line in merged.values())
        print(f"{len(merged)} documents: " + ", ".join(f"{n} {status}" for status, n in counts.items()))
        verify(client, run)


def verify(client: Client, run: str) -> None:
    """Check the stream of a run against its manifest: counts and SHA-256 over the lines."""
    manifest = client.batch_predictions.manifest(run)
    stream = client.batch_predictions.download(run, "first.jsonl").read_bytes()
    must(hashlib.sha256(stream).hexdigest() == manifest.sha256, "the lines have the manifest's SHA-256")
    must(stream.count(b"\n") == manifest.lines, "and their number is the manifest's")
    print(f"Manifest of {run}: {manifest.lines} lines, SHA-256 {manifest.sha256[:16]}…, as streamed")


def check(prepared: Prepared, lines: dict[str, Any]) -> None:
    """Everything sound succeeded, and everything broken failed for its own reason."""
    found = {custom_id: slug(line) for custom_id, line in lines.items() if line["status"] != "succeeded"}
    must(found == prepared.broken, f"every broken input fails for its own reason, and nothing else fails ({found})")
    for custom_id, version in prepared.truth.items():
        must(lines[custom_id]["output"]["version"] == version, f"{custom_id} is of version {version}")


def slug(line: dict[str, Any]) -> str:
    return str(line["error"]["type"]).rsplit("/", 1)[-1]


def show(lines: dict[str, Any], describe: Any) -> None:
    for custom_id, line in lines.items():
        if line["status"] == "succeeded":
            print(f"  {custom_id:24} {describe(line['output'])}")


def read(name: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in Path(name).read_text("utf-8").splitlines()]
    return {line["custom_id"]: line for line in lines}


def heading(text: str) -> None:
    print(f"\n── {text}", flush=True)


def must(holds: bool, what: str) -> None:
    if not holds:
        sys.exit(f"The demo is broken: it does not hold that {what}.")


def amends(*arguments: str, expected: int = 0) -> str:
    """Run a command as a person would, showing it; its talk goes on to our stderr, its data comes back."""
    if "--quiet" not in arguments:
        print(f"$ amends {shlex.join(arguments)}", flush=True)
    found = subprocess.run((*AMENDS, *arguments), stdout=subprocess.PIPE, text=True, check=False)
    must(
        found.returncode == expected, f"`amends {arguments[0]}` ends with {expected} (it ended with {found.returncode})"
    )
    return found.stdout


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A server on a fresh data directory and any free port, stopped in the end."""
    print("$ amends serve --data data", flush=True)
    with Path("serve.log").open("wb") as log:
        process = subprocess.Popen((*AMENDS, "serve", "--data", "data", "--port", "0"), stdout=log, stderr=log)
        try:
            yield address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def address(process: subprocess.Popen[bytes]) -> str:
    """Where the server listens, once it does; it writes that down in its data directory."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, KeyError):
            url = json.loads(Path("data/owner.json").read_text())["url"]
            if url:
                return str(url)
        time.sleep(0.05)
    sys.exit(f"The server did not start:\n{Path('serve.log').read_text()}")


if __name__ == "__main__":
    sys.exit(main())
