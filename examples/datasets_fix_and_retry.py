"""A folder of pictures into a dataset; those that fail are taken from a folder of originals instead, and only they are sent again.

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
    with Client(journal=True) as client:
        dataset = client.datasets.create(f"mended pictures in {folder.name}")
        pictures = [Datapoint(str(folder / path.name), group="a") for path in sorted(originals.iterdir())]
        try:
            dataset.add_datapoints(pictures, failure_tolerance=0.0)
        except FailedUploadException as error:
            for stage, items in error.failures_by_stage.items():
                print(f"{len(items)} failed at stage {stage}")
            fixed = [mended(failure, originals) for failure in error.detailed_failures]
            succeeded, failed = error.dataset.add_datapoints(fixed)
            print(f"{len(succeeded)} mended, {len(failed)} still fail")
        print(f"{client.datasets.get(dataset.id).datapoint_count} of {len(pictures)} pictures stand.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
