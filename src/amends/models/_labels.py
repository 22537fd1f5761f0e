"""``local/image-labels``: what is in a picture, by EfficientNet-Lite0 over the 1,000 ImageNet classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from amends.models import _efficientnet
from amends.models._torch_file import read_tensors
from amends.models._weights import verified_path

__all__ = ["ImageLabels", "Label"]

# The evaluation of EfficientNet-Lite crops the middle INPUT_SIDE / (INPUT_SIDE + 32) of the shorter side.
_CROP = _efficientnet.INPUT_SIDE / (_efficientnet.INPUT_SIDE + 32)
_MEAN, _SCALE = 127.0, 128.0


@dataclass(frozen=True, slots=True)
class Label:
    """A class name of ImageNet and its probability, from 0 to 1."""

    name: str
    score: float


class ImageLabels:
    """The loaded model. Importing and loading take half a second and 120 MB; do it once a process.

    threads: how many threads one prediction may use. Raises WeightsUnusable where a weight file is missing or altered.
    The conversion to ONNX (0.03 s) is done in memory at each load: a cached copy would have to be hashed, replaced
    atomically and cleaned up, to save less than importing the runtime costs.
    """

    def __init__(self, *, threads: int = 1) -> None:
        names = verified_path("image-label-names")
        self._names: list[str] = json.loads(names.read_text("utf-8"))
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        model = _efficientnet.to_onnx(read_tensors(verified_path("image-labels")))
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(self, images: Sequence[Image.Image], *, top: int = 5) -> list[list[Label]]:
        """Return the ``top`` labels of each image, best first, in the order of ``images``."""
        if not images:
            return []
        batch = np.stack([_prepare(image) for image in images])
        (scores,) = self._session.run(["scores"], {"images": batch})
        return [self._best(row, top) for row in np.asarray(scores)]

    def _best(self, scores: npt.NDArray[Any], top: int) -> list[Label]:
        best = np.argsort(scores)[::-1][:top]
        return [Label(self._names[index], round(float(scores[index]), 4)) for index in best]


def _prepare(image: Image.Image) -> npt.NDArray[np.float32]:
    side = min(image.size) * _CROP
    left, top = (image.width - side) / 2, (image.height - side) / 2
    size = (_efficientnet.INPUT_SIDE, _efficientnet.INPUT_SIDE)
    square = image.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    pixels = (np.asarray(square, np.float32) - _MEAN) / _SCALE
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
