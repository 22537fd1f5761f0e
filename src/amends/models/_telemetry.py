"""onnxruntime keeps usage events and sends them to its makers unless the environment says otherwise when it is loaded.

Nothing leaves the machine here, so the environment says otherwise before anything of ours loads it: this module is imported
with ``amends.models``, which stands before every use of onnxruntime, rapidocr and magika.
"""

from __future__ import annotations

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
