"""Find an order that a crashed script left behind, and have it done.

    python examples/orders_find_left_behind.py make          # makes an order and dies before it runs it
    python examples/orders_find_left_behind.py finish ORDER  # finds it by its id, runs it, lets a model answer, shows the results

Expects a server and AMENDS_API_KEY. Without ORDER, the newest order of that name that was made and never run is taken.
"""

from __future__ import annotations

import os
import sys

from amends import Client

NAME = "What do customers want?"
MESSAGES = [
    "I was charged twice, please give me my money back",
    "The app crashes whenever I open the settings",
    "When will my parcel be delivered?",
    "It broke on the first day and I want a refund",
]


def make(client: Client) -> None:
    order = client.order.create_classification_order(
        NAME,
        "Choose what the message is about.",
        ["refund", "bug report", "delivery"],
        MESSAGES,
        data_type="text",
        responses_per_datapoint=1,
    )
    print(order.id, flush=True)
    os._exit(1)  # whatever it is that kills scripts


def finish(client: Client, order_id: str | None) -> None:
    if order_id is None:
        left_behind = client.order.find_orders(name=NAME, status="created")
        order = next(iter(left_behind), None) or sys.exit(f"No order called {NAME!r} waits to be run.")
    else:
        order = client.order.get_order_by_id(order_id)
    print(f"{order.id} is {order.get_status()}")
    order.run()
    order.add_annotator("local/classify")
    order.display_progress_bar(timeout=120)
    results = order.get_results()
    for line in results.data:
        print(f"{line.answer:<12} {line.confidence:.2f}  {line.assets[0]}")
    print(f"{order.id} is {order.get_status()}")


def main() -> None:
    with Client() as client:
        if sys.argv[1:2] == ["make"]:
            make(client)
        elif sys.argv[1:2] == ["finish"]:
            finish(client, sys.argv[2] if len(sys.argv) > 2 else None)
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
