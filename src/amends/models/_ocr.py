"""``local/ocr``: the text on a picture, by the PP-OCRv6 weights inside ``rapidocr``."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from PIL import Image
from rapidocr import RapidOCR

from amends.models._layout import Piece, to_text
from amends.models._weights import verified_path

__all__ = ["TextRecogniser"]

_WEIGHTS = {"Det": "ocr-detection", "Rec": "ocr-recognition", "Cls": "ocr-direction"}
_MIN_SIDE = 8
"""Smaller pictures hold no letter, and the detector divides by what is left of them."""


class TextRecogniser:
    """The loaded model. Importing takes a second, the first picture loads the weights: about 240 MB; do it once a process.

    threads: how many threads one picture may use. Raises WeightsUnusable where a weight file is missing or
    altered. Every path is pinned to a verified file, so that rapidocr has no reason to download anything.
    """

    def __init__(self, *, threads: int = 1) -> None:
        paths = {f"{part}.model_path": str(verified_path(name)) for part, name in _WEIGHTS.items()}
        settings = {
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        cv2.setNumThreads(threads)
        self._engine: Any = RapidOCR(params={**paths, **settings})

    def read(self, image: Image.Image) -> str:
        """Return the text, line by line, columns apart by three spaces; "" where there is none."""
        if min(image.size) < _MIN_SIDE:
            return ""
        pixels = np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])  # the model was trained on BGR
        found = self._engine(pixels)
        if found.txts is None or found.boxes is None:
            return ""
        return to_text(
            Piece(text.strip(), box[:, 0].min(), box[:, 1].min(), box[:, 0].max(), box[:, 1].max())
            for text, box in zip(found.txts, np.asarray(found.boxes), strict=True)
            if text.strip()
        )
