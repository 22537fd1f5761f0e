"""Ours: one call of the SDK."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import Counter
from pathlib import Path

from amends import Client, Datapoint


def main() -> None:
    wanted, url, key = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
    with Client(key, url) as client:
        dataset = client.datasets.create("measured")
        started = time.perf_counter()
        succeeded, failed = dataset.add_datapoints([Datapoint(asset) for asset in wanted], quiet=True)
        seconds = time.perf_counter() - started
        count = client.datasets.get(dataset.id).datapoint_count
    assert count == len(succeeded) == len(wanted) - len(failed), (count, len(succeeded), len(failed))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": round(seconds, 3),
                "datapoints": count,
                "failed": Counter(one.stage for one in failed),
                "client_processor_seconds": round(used.ru_utime + used.ru_stime, 2),
                "client_peak_mib": used.ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
