"""Invoices to numbers: upload files, run a batch, read results and failures. Needs a server and its key in AMENDS_API_KEY."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from amends import Client

HERE = Path(__file__).parent


def main() -> None:
    schema = json.loads((HERE / "invoice.schema.json").read_text())
    with Client() as client:
        items = [
            {"custom_id": path.name, "file_id": client.files.upload(path).id}
            for path in sorted((HERE / "invoices").iterdir())
        ]
        batch = client.batch_predictions.create(items=items, model="local/extract", output_schema=schema)
        batch = client.batch_predictions.wait(batch.id, timeout=300)

        for line in client.batch_predictions.results(batch.id):
            if line["status"] == "succeeded":
                print(line["custom_id"], json.dumps(line["output"]))
            else:
                print(line["custom_id"], "FAILED:", line["error"]["detail"], line["error"]["remedy"]["hint"])

        # Nothing missing, nothing twice: the ids that were sent against the ids that came back.
        sys.exit(
            0 if client.batch_predictions.reconcile(batch.id, [item["custom_id"] for item in items]).is_complete else 1
        )


if __name__ == "__main__":
    main()
