"""The weight files: found without importing their packages, used only with the right hash, read without pickle's powers."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from amends.models import MODELS, WEIGHTS, WeightsUnusable, describe, known, verify
from amends.models._torch_file import read_tensors
from amends.models._weights import verified_path


def test_every_installed_weight_file_is_the_reviewed_one():
    checks = verify()
    assert [(check.weight.name, check.verdict) for check in checks] == [(weight.name, "ok") for weight in WEIGHTS]
    assert all(check.path and check.path.stat().st_size == check.weight.size_bytes for check in checks)


def test_every_weight_belongs_to_a_known_model_and_says_its_origin():
    for weight in WEIGHTS:
        assert set(weight.models) <= MODELS.keys()
        assert weight.source
        assert weight.licence in ("Apache-2.0", "MIT")
        assert "==" in weight.requirement or weight.module == weight.requirement == "amends"


def altered(**changes):
    return [dataclasses.replace(WEIGHTS[0], **changes)]


def test_an_altered_file_is_refused_and_named():
    wrong = altered(sha256="0" * 64)
    assert verify(wrong)[0].verdict == "mismatch"
    with pytest.raises(WeightsUnusable, match=r"PP-OCRv6_det_small\.onnx.*expected 0000"):
        verified_path(WEIGHTS[0].name, weights=wrong)


@pytest.mark.parametrize("change", [{"module": "no_such_package_anywhere"}, {"relative": "models/none.onnx"}])
def test_a_missing_file_is_refused_with_what_to_install(change):
    missing = altered(**change)
    assert verify(missing)[0].path is None
    with pytest.raises(WeightsUnusable, match=r"rapidocr==3\.10\.0"):
        verified_path(WEIGHTS[0].name, weights=missing)


def test_the_registry_knows_the_embedded_models():
    assert list(MODELS) == [
        "local/echo",
        "local/ocr",
        "local/image-labels",
        "local/extract",
        "local/minilm",
        "local/classify",
        "local/smollm2",
    ]
    assert known("local/ocr")
    assert not known("local/none")
    assert describe("local/extract").needs_schema
    assert describe("local/ocr").to_dict()["takes"] == ["image", "pdf"]


def test_importing_models_and_the_processor_loads_no_library():
    code = (
        "import sys, amends.models, amends.processors.predict;"
        "print(sorted({'numpy', 'onnx', 'onnxruntime', 'tokenizers', 'xllamacpp', 'PIL', 'rapidocr', 'pypdfium2', 'docx', 'selectolax'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def checkpoint(path, tensors):
    """Write a checkpoint whose pickles hold ``tensors``, anything at all, in place of the tensors."""
    with path.open("wb") as file:
        for thing in (0x1950A86A20F9469CFC6C, 1001, {}, tensors, []):
            pickle.dump(thing, file, protocol=2)
    return path


class Malice:
    def __reduce__(self):
        return os.system, ("echo owned",)


def test_a_checkpoint_may_not_name_other_functions(tmp_path):
    with pytest.raises(pickle.UnpicklingError, match="may not name"):
        read_tensors(checkpoint(tmp_path / "evil.pth", {"weight": Malice()}))


def test_a_checkpoint_of_another_format_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    path.write_bytes(pickle.dumps(7))
    with pytest.raises(ValueError, match="not a PyTorch checkpoint"):
        read_tensors(path)


def test_a_checkpoint_that_ends_too_soon_is_refused(tmp_path):
    whole = verified_path("image-labels").read_bytes()
    path = tmp_path / "short.pth"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="ends in the middle"):
        read_tensors(path)


def test_tensors_come_in_c_order_with_their_shapes():
    tensors = read_tensors(verified_path("image-labels"))
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert all(tensor.flags.c_contiguous for tensor in tensors.values())
    assert np.isfinite(tensors["_fc.bias"]).all()
