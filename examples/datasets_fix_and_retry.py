"""Order labels for a folder of pictures; those that fail are taken from a folder of originals, and only they are sent again.

Needs a server and AMENDS_API_KEY.

    python examples/datasets_fix_and_retry.py FOLDER ORIGINALS
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from amends import Client, Datapoint, FailedUpload
from amends.exceptions import FailedUploadException


def mended(failure: FailedUpload, originals: Path) -> Datapoint:
    """What to send instead: where the file was damaged or missing the original, else the same once more."""
    if failure.stage in ("read", "decode", "content_type"):
        return replace(failure.item, asset=str(originals / Path(str(failure.item.asset)).name))
    return failure.item


def main(folder: Path, originals: Path) -> None:
    pictures = [str(folder / path.name) for path in sorted(originals.iterdir())]
    with Client(journal=True) as client:
        try:
            order = client.order.create_classification_order(
                f"Sun or rain in {folder.name}", "Sun or rain?", ["sun", "rain"], pictures, failure_tolerance=0.0
            )
        except FailedUploadException as error:
            for stage, items in error.failures_by_stage.items():
                print(f"{len(items)} failed at stage {stage}")
            # Where only time helps, error.retry() sends the same ones again and returns the order.
            fixed = [mended(failure, originals) for failure in error.detailed_failures]
            succeeded, failed = error.dataset.add_datapoints(fixed)
            print(f"{len(succeeded)} mended, {len(failed)} still fail")
            if error.order is None:
                sys.exit("None of the pictures stood, so no order was made: give a folder of which some are good.")
            order = error.order
        order.run()  # what was added until now belongs to it
        print(
            f"{order.id} is {order.get_status()} with {client.datasets.get(order.dataset_id).datapoint_count} pictures."
        )


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
