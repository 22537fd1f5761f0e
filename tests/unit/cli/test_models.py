"""What the embedded models need of this machine."""

from __future__ import annotations

import importlib.metadata

import pytest

from amends.cli._exits import LocalFailure
from amends.cli._models import check_installed, missing_requirements


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
