"""What labelling SDKs do: 25 threads, one POST a file, then one a datapoint. Each thread has a connection that it keeps."""

from __future__ import annotations

import json
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

THREADS = 25


def main() -> None:
    wanted, url, key = json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], sys.argv[3]
    own = threading.local()
    head = {"Authorization": f"Bearer {key}"}

    def client() -> httpx2.Client:
        if not hasattr(own, "client"):
            own.client = httpx2.Client(base_url=url, headers=head, timeout=120, trust_env=False)
        return own.client

    dataset = client().post("/v1/datasets", json={"name": "measured"}).raise_for_status().json()["id"]

    def send(asset: str) -> bool:
        if asset.startswith("http"):
            given = {"url": asset}
        else:
            try:
                content = Path(asset).read_bytes()
            except OSError:
                return False
            made = client().post("/v1/files", files={"file": (Path(asset).name, content)})
            given = {"file_id": made.raise_for_status().json()["id"]}
        added = client().post(f"/v1/datasets/{dataset}/datapoints", json=[{"assets": [given]}])
        return bool(added.raise_for_status().json()["data"][0]["status"] in ("created", "pending"))

    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        sent = sum(pool.map(send, wanted))
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "seconds": round(seconds, 3),
        "datapoints": sent,
        "client_processor_seconds": round(used.ru_utime + used.ru_stime, 2),
        "client_peak_mib": used.ru_maxrss // 1024,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
