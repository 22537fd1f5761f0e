"""A folder to a batch, with a journal: killed anywhere and run again, it sends nothing twice. Needs a server and AMENDS_API_KEY."""

from __future__ import annotations

import json
from pathlib import Path

from amends import Client
from amends.client import UploadProgress

HERE = Path(__file__).parent


def show(progress: UploadProgress) -> None:
    print(f"{progress.done} of {progress.total} files, {progress.failed} failed")


def main() -> None:
    schema = json.loads((HERE / "invoice.schema.json").read_text())
    with Client(journal=True) as client:
        uploads = client.files.upload_many(sorted((HERE / "invoices").iterdir()), at_once=4, on_progress=show)
        for upload in uploads:
            if upload.error:
                print(upload.source, "was left out:", upload.error)
        items = ({"custom_id": one.file.filename, "file_id": one.file.id} for one in uploads if one.file)
        batch = client.batch_predictions.create(items, model="local/extract", output_schema=schema)
        client.batch_predictions.wait(batch.id, timeout=300)
        # The journal knows what was sent, so what is missing or doubled has a name.
        report = client.batch_predictions.reconcile(batch.id)
        print("complete" if report.is_complete else f"missing {report.missing}, doubled {report.doubled}")
    # Here the block ended well, and the journal with it: the next run is new work.


if __name__ == "__main__":
    main()
