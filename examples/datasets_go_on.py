"""A folder of pictures into a dataset, going on without those that fail. Needs a server and AMENDS_API_KEY.

python examples/datasets_go_on.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from amends import Client, Datapoint
from amends.exceptions import FailedUploadException


def main(folder: Path) -> None:
    with Client(journal=True) as client:
        dataset = client.datasets.create(f"pictures in {folder.name}")
        pictures = [Datapoint(str(path), context="What is to be seen?") for path in sorted(folder.iterdir())]
        try:
            dataset.add_datapoints(pictures, failure_tolerance=0.0)
        except FailedUploadException as error:
            print(error)  # in groups, with examples and what to do about each
            dataset = error.dataset  # all the others stand in it
        print(f"Going on with {client.datasets.get(dataset.id).datapoint_count} of {len(pictures)} pictures.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
