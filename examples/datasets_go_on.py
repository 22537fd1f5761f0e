"""Order labels for a folder of pictures, going on without those that fail. Needs a server and AMENDS_API_KEY.

python examples/datasets_go_on.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from amends import Client
from amends.exceptions import FailedUploadException


def main(folder: Path) -> None:
    pictures = [str(path) for path in sorted(folder.iterdir())]
    with Client(journal=True) as client:
        try:
            order = client.order.create_classification_order(
                f"Day or night in {folder.name}",
                "Is it day or night?",
                ["day", "night"],
                pictures,
                failure_tolerance=0.0,
            )
        except FailedUploadException as error:
            print(error)  # in groups, with examples and what to do about each
            if error.order is None:
                sys.exit("Nothing stands, so there is nothing to go on with.")
            order = error.order  # made with what succeeded
        order.run()
        print(f"{order.id} is {order.get_status()}.")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
