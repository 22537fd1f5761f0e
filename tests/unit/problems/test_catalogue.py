import dataclasses
import re
import subprocess
import sys

import pytest

from amends.problems import CATALOGUE, STANDARD_MEMBERS, Row, problem

EXPECTED = {
    "no_authentication": (401, "E", ["AUTHENTICATION_FAILED", "TOKEN_EXPIRED"], "AuthError"),
    "credit_exceeded": (402, "EBL", ["CREDIT_EXCEEDED"], "PaymentRequiredError"),
    "insufficient_permissions": (403, "E", ["INSUFFICIENT_PERMISSIONS"], "ForbiddenError"),
    "resource_not_found": (404, "E", ["{KIND}_NOT_FOUND"], "NotFoundError"),
    "method_not_allowed": (405, "E", ["METHOD_NOT_ALLOWED"], "ApiError"),
    "not_acceptable": (406, "E", ["NOT_ACCEPTABLE"], "ApiError"),
    "conflict": (
        409,
        "E",
        [
            "CONFLICT",
            "DUPLICATE_{KIND}",
            "IDEMPOTENCY_CONFLICT",
            "IDEMPOTENCY_IN_PROGRESS",
            "INVALID_STATE",
            "VERSION_CONFLICT",
            "OFFSET_CONFLICT",
        ],
        "ConflictError",
    ),
    "results_gone": (410, "E", ["RESULTS_GONE"], "GoneError"),
    "payload_too_large": (413, "EL", ["PAYLOAD_TOO_LARGE"], "ApiError"),
    "unsupported_media_type": (415, "E", ["UNSUPPORTED_MEDIA_TYPE"], "ApiError"),
    # Not in the table of the contract's first version: what RFC 9110 answers to a range beyond the end.
    "range_not_satisfiable": (416, "E", ["RANGE_NOT_SATISFIABLE"], "ApiError"),
    # Nor these, which the protocol of resumable uploads answers with (tus 1.0: version, lock, checksum).
    "precondition_failed": (412, "E", ["PRECONDITION_FAILED"], "ApiError"),
    "resource_locked": (423, "E", ["RESOURCE_LOCKED"], "ApiError"),
    "checksum_mismatch": (460, "E", ["CHECKSUM_MISMATCH"], "ApiError"),
    "malformed_request": (400, "E", ["BAD_REQUEST"], "ValidationError"),
    # On an item too, beyond the contract's first version: a line of an OpenAI batch that is no request of its endpoint.
    "validation_failed": (422, "EBL", ["VALIDATION_ERROR"], "ValidationError"),
    "unprocessable_content": (
        422,
        "EL",
        ["VIDEO_CORRUPTED", "DECRYPTION_FAILED", "IMAGE_CORRUPTED"],
        "ValidationError",
    ),
    "rate_limit_exceeded": (429, "E", ["RATE_LIMIT_EXCEEDED"], "RateLimitError"),
    "internal_server_error": (500, "EL", ["INTERNAL_ERROR"], "ServerError"),
    "service_unavailable": (503, "E", ["SERVICE_UNAVAILABLE", "CIRCUIT_OPEN"], "ServerError"),
    "insufficient_storage": (507, "E", ["INSUFFICIENT_STORAGE"], "ServerError"),
    "file_not_found": (422, "L", ["FILE_NOT_FOUND"], ""),
    "unsupported_file_format": (422, "L", ["UNSUPPORTED_FILE_FORMAT"], ""),
    "asset_upload_failed": (422, "L", ["ASSET_UPLOAD_FAILED"], ""),
    "prediction_failed": (422, "L", ["PREDICTION_FAILED"], ""),
    "upstream_failed": (
        502,
        "L",
        ["UPSTREAM_RATE_LIMITED", "UPSTREAM_TIMEOUT", "UPSTREAM_REFUSED", "UPSTREAM_ERROR"],
        "",
    ),
    "batch_validation_failed": (422, "L", ["BATCH_VALIDATION_FAILED"], ""),
    "batch_cancelled": (409, "L", ["BATCH_CANCELLED"], ""),
    "batch_expired": (408, "L", ["BATCH_EXPIRED"], ""),
    "batch_item_processing_failed": (
        500,
        "L",
        ["BATCH_ITEM_PROCESSING_FAILED", "WORKER_CRASHED", "ITEM_TIMED_OUT", "ITEM_OUT_OF_MEMORY"],
        "",
    ),
}

# The contract ends this row's codes with an ellipsis: more kinds of files may be unprocessable.
OPEN_ENDED = {"unprocessable_content"}

every_row = pytest.mark.parametrize("row", CATALOGUE.values(), ids=CATALOGUE.keys())


def test_the_catalogue_holds_the_rows_of_the_contract_and_no_others() -> None:
    assert CATALOGUE.keys() == EXPECTED.keys()


@every_row
def test_a_row_says_what_the_contract_says(row: Row) -> None:
    status, where, error_codes, exception = EXPECTED[row.slug]
    assert (row.status, row.where, row.exception) == (status, frozenset(where), exception)
    if row.slug in OPEN_ENDED:
        assert set(error_codes) <= set(row.error_codes)
    else:
        assert set(error_codes) == set(row.error_codes)


@every_row
def test_every_text_of_a_row_is_written(row: Row) -> None:
    for text in (row.meaning, row.cause, row.provoke, row.remedy.hint):
        assert text.endswith(".")
        assert text[0].isupper() or text[0] == "`"
    assert row.detail[0].isupper()
    assert row.title == row.title.title()


@every_row
def test_every_verdict_is_consistent(row: Row) -> None:
    for remedy in (row.remedy, *row.remedies.values()):
        assert remedy.billed is False
        assert remedy.retryable or remedy.retry_after is None
        if remedy.action in ("retry", "wait"):
            assert remedy.retryable
        if remedy.action in ("fix_input", "top_up", "reauthenticate", "ask_for_access", "none"):
            assert not remedy.retryable
    assert row.remedies.keys() <= set(row.error_codes)


@every_row
def test_the_example_renders_with_members_the_row_declares(row: Row) -> None:
    example = problem(row.slug, **row.example)
    assert example.status == row.status
    declared = {name for name in row.members if "{" not in name}
    assert example.extensions.keys() <= declared | {name for name in example.extensions if name.endswith("_id")}
    assert not STANDARD_MEMBERS & set(row.members)


@every_row
def test_a_row_cannot_be_changed(row: Row) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        row.status = 200  # type: ignore[misc]
    with pytest.raises(TypeError):
        CATALOGUE[row.slug] = row  # type: ignore[index]


def test_a_kind_stands_for_any_upper_snake_word() -> None:
    row = CATALOGUE["resource_not_found"]
    assert row.admits("API_KEY_NOT_FOUND")
    assert not row.admits("_NOT_FOUND")
    assert not row.admits("api_key_not_found")
    assert not row.admits("API_KEY_NOT_FOUND\n")
    assert CATALOGUE["conflict"].remedy_for("DUPLICATE_DATASET").hint.startswith("Choose another name")


def test_repeating_a_request_that_may_have_been_done_is_not_called_safe() -> None:
    assert not CATALOGUE["internal_server_error"].remedy.safe_new_key
    assert not CATALOGUE["conflict"].remedy_for("IDEMPOTENCY_IN_PROGRESS").safe_new_key
    assert not CATALOGUE["upstream_failed"].remedy_for("UPSTREAM_TIMEOUT").safe_new_key


def test_problems_imports_nothing_else_of_amends_and_no_third_party_package() -> None:
    code = "import sys; before = set(sys.modules); import amends.problems; print(*set(sys.modules) - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    tops = {name.partition(".")[0] for name in loaded}
    assert tops - {"amends"} <= sys.stdlib_module_names | {"__mp_main__"}
    assert all(re.match(r"amends(\.problems.*)?$", name) for name in loaded if name.startswith("amends"))
