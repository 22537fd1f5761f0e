"""What a Datapoint promises, what its assets are taken for, and what is said of those that failed."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from amends import Datapoint, FailedUpload
from amends.client._datapoints import kind_of, line_of, paths_of
from amends.client._datasets import is_tolerated
from amends.client._failed_uploads import failed_upload
from amends.exceptions import ConfigurationError, FailedUploadError, FailedUploadException
from amends.problems import asset_failed, problem

NOW = datetime(2026, 11, 28, tzinfo=UTC)
FILE_ID = "file_01m8ggzjmgdaxcwsj6kgyxv7yq"


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"asset": ""}, "asset"),
        ({"asset": []}, "asset"),
        ({"asset": ["a.png", " "]}, "asset"),
        ({"asset": "a.png", "data_type": "picture"}, "data_type"),
        ({"asset": "a.png", "context": ""}, "context"),
        ({"asset": "a.png", "context": " "}, "context"),
        ({"asset": "a.png", "sentence": ""}, "sentence"),
        ({"asset": "a.png", "group": ""}, "group"),
        ({"asset": "a.png", "context": "a", "sentence": "b"}, "both"),
        ({"asset": "a.png", "media_context": ["b.png"] * 11}, "ten|10"),
    ],
)
def test_what_cannot_be_a_datapoint_is_refused_at_once(members: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Datapoint(**members)


def test_assets_are_strings() -> None:
    with pytest.raises(TypeError, match="asset"):
        Datapoint([b"a.png"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("asset", "data_type", "kind"),
    [
        ("photos/a.png", "media", "path"),
        ("C:\\photos\\a.png", "media", "path"),
        ("https://a.example/a.png", "media", "url"),
        ("HTTP://a.example", "media", "url"),
        ("https:/a.example", "media", "path"),
        (FILE_ID, "media", "file_id"),
        (FILE_ID + "x", "media", "path"),
        ("file_notes.txt", "media", "path"),
        ("file:///a.png", "media", "path"),
        ("https://a.example/a.png", "text", "text"),
        (FILE_ID, "text", "text"),
    ],
)
def test_an_asset_is_taken_for_what_it_looks_like(asset: str, data_type: str, kind: str) -> None:
    assert kind_of(asset, data_type) == kind


def test_the_caller_s_asset_stays_as_it_was_given_and_its_contents_go_on_the_wire() -> None:
    given = ["a.png", "https://a.example/b.png", FILE_ID]
    datapoint = Datapoint(given, media_context="c.png", group="g", answer_options=("x",), private_metadata={"row": 1})
    assert datapoint.asset is given
    assert paths_of(datapoint) == ["a.png", "c.png"]
    assert line_of(datapoint, {"a.png": {"sha256": "a"}, "c.png": {"sha256": "c"}}) == {
        "assets": [{"sha256": "a"}, {"url": "https://a.example/b.png"}, {"file_id": FILE_ID}],
        "data_type": "media",
        "media_context": [{"sha256": "c"}],
        "private_metadata": {"row": 1},
        "group": "g",
        "answer_options": ["x"],
    }
    assert line_of(Datapoint("a.png", "text"), {}) == {"assets": [{"text": "a.png"}], "data_type": "text"}


@pytest.mark.parametrize(
    ("failed", "total", "tolerance", "is_fine"),
    [(0, 10, 0.0, True), (1, 10, 0.0, False), (1, 10, 0.1, True), (2, 10, 0.1, False), (10, 10, 1.0, True), (9, 10, None, True)],
)  # fmt: skip
def test_the_tolerance_itself_is_tolerated(failed: int, total: int, tolerance: float | None, is_fine: bool) -> None:
    assert is_tolerated(failed, total, tolerance) == is_fine


def unread(name: str) -> FailedUpload:
    error = FileNotFoundError(2, "No such file or directory", name)
    return failed_upload(Datapoint(name), asset_failed("read", f"{name} cannot be read: no such file"), NOW, error)


def forbidden(name: str) -> FailedUpload:
    found = asset_failed("download", f"https://a.example/{name} answered 403", upstream_status=403)
    return failed_upload(Datapoint(f"https://a.example/{name}"), found.replace(request_id="req_1"), NOW)


def test_a_failed_upload_says_what_and_why() -> None:
    failure = forbidden("a.png")
    assert (failure.error_type, failure.stage, failure.http_status) == ("AssetUploadFailed", "download", 403)
    assert (failure.request_id, failure.timestamp, failure.exception) == ("req_1", NOW, None)
    assert failure.error_message == "https://a.example/a.png answered 403"
    assert failure.reason == "One or more assets failed to upload"
    local = unread("b.png")
    assert (local.stage, local.http_status, type(local.exception)) == ("read", None, FileNotFoundError)
    wrong = failed_upload(Datapoint("a"), problem("validation_failed"), NOW)
    assert (wrong.error_type, wrong.stage, wrong.http_status) == ("ValidationFailed", None, 422)


def raised(failures: list[FailedUpload], total: int) -> FailedUploadException:
    dataset = SimpleNamespace(name="cats", id="ds_1")
    return FailedUploadException(failures, total, dataset=dataset, retry=lambda: "again")


def test_its_text_is_readable_at_three_failures_and_at_thirty_thousand() -> None:
    few = str(raised([unread("a.png"), forbidden("b.png"), unread("c.png")], 10))
    assert few.splitlines() == [
        "3 of 10 datapoints failed (30.00%), 7 stand in dataset 'cats' (ds_1).",
        "  2 × AssetUploadFailed at stage 'read'. Check that the file is there and may be read, then send it again.",
        "    a.png: a.png cannot be read: no such file",
        "    c.png: c.png cannot be read: no such file",
        (
            "  1 × AssetUploadFailed at stage 'download', answered 403. Open the URL without being logged in: it must answer with "
            "the file, or upload the file."
        ),
        "    https://a.example/b.png: https://a.example/b.png answered 403",
        "failed_uploads lists them, detailed_failures says why; retry() sends only these again.",
    ]
    many = [unread(f"{number}.png") for number in range(29_000)] + [forbidden("x" * 5_000)] * 1_000
    text = str(raised(many, 3_000_000))
    assert "30,000 of 3,000,000 datapoints failed (1.00%)" in text
    assert "… and 28,997 more" in text
    assert len(text) < 2_500
    assert len(text.splitlines()) < 15


def test_its_text_hides_neither_a_small_share_nor_the_end_of_a_long_name() -> None:
    text = str(raised([unread(f"/data/{'folder/' * 40}last.png")], 1_000_000))
    assert "1 of 1,000,000 datapoints failed (<0.01%), 999,999 stand" in text
    assert re.search(r"^    /data/folder/.{,150}….{,150}/last\.png: ", text, re.MULTILINE)


def test_it_groups_crosses_processes_and_retries() -> None:
    error = raised([unread("a.png"), forbidden("b.png"), unread("c.png")], 10)
    assert [one.asset for one in error.failed_uploads] == ["a.png", "https://a.example/b.png", "c.png"]
    assert list(error.failures_by_stage) == ["read", "download"]
    assert {reason: len(items) for reason, items in error.failures_by_reason.items()} == {
        "One or more assets failed to upload": 3
    }
    assert error.retry() == "again"
    assert FailedUploadError is FailedUploadException
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert copy.failed_uploads == error.failed_uploads
    assert [one.problem for one in copy.detailed_failures] == [one.problem for one in error.detailed_failures]
    with pytest.raises(ConfigurationError, match="add_datapoints"):
        copy.retry()
