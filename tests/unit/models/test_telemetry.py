"""Nothing leaves the machine: onnxruntime would keep and send usage events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    "use",
    [
        "from amends.models import load_labels; load_labels()",
        "from amends.models import load_recogniser; load_recogniser()",
        "from amends.models import load_embedder; load_embedder()",
        "import sys; sys.stdin.close(); sys.stdin = open('/dev/null'); from amends.server._inspection import main; main()",
    ],
)
def test_onnxruntime_keeps_no_usage_events_for_its_makers(tmp_path: Path, use: str) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", use], env=environ | {"HOME": str(tmp_path)}, cwd=tmp_path, check=True)
    assert list(tmp_path.rglob("*onnxruntime*")) == []
