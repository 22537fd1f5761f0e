import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest

import amends.exceptions
from amends import Datapoint
from amends.client import _exceptions
from amends.client._exceptions import error_from
from amends.client._failed_uploads import failed_upload
from amends.exceptions import (
    AmendsError,
    ApiError,
    Attempt,
    AuthError,
    CircuitOpenError,
    ConfigurationError,
    ConflictError,
    FailedUploadException,
    ForbiddenError,
    GoneError,
    NetworkError,
    NotFoundError,
    PaymentRequiredError,
    PollTimeoutError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    ValidationError,
)
from amends.problems import (
    asset_failed,
    duplicate_custom_id,
    not_found,
    parse,
    problem,
    rate_limited,
    validation_failed,
)

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ATTEMPTS = (Attempt(1, WHEN, 503, None, 0.0), Attempt(2, WHEN, None, "connection reset", 1.1))

API_ERRORS = [cls for cls in vars(_exceptions).values() if inspect.isclass(cls) and issubclass(cls, ApiError)]

OTHERS = [
    AmendsError("Something"),
    ConfigurationError("Set AMENDS_API_KEY"),
    NetworkError("The connection was refused", ATTEMPTS),
    RequestTimeoutError("No answer within 30 s", ATTEMPTS),
    PollTimeoutError("bpred_1", "in_progress", 12.5),
    CircuitOpenError("api.example", WHEN),
    FailedUploadException([failed_upload(Datapoint("a.png"), asset_failed("decode", "It is damaged"), WHEN)], 7),
]

EXAMPLES = [*OTHERS, *(cls(not_found("batch", "bpred_1"), 404, ATTEMPTS, 2.0) for cls in API_ERRORS)]


def state(error: AmendsError) -> tuple[object, ...]:
    return type(error), str(error), error.args, vars(error)


def test_the_tree_is_whole() -> None:
    tree = {cls for cls in vars(amends.exceptions).values() if inspect.isclass(cls) and issubclass(cls, AmendsError)}
    assert tree == {type(error) for error in EXAMPLES}
    # "@…" are what pytest adds to a module that a plugin of its brings in.
    names = {name for name in vars(amends.exceptions) if not name.startswith(("_", "@"))}
    assert set(amends.exceptions.__all__) == names
    assert {cls.__name__ for cls in tree} <= set(_exceptions.__doc__.replace("│", " ").replace("├", " ").split())  # type: ignore[union-attr]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_exception_pickles_with_its_data(error: AmendsError, protocol: int) -> None:
    assert state(pickle.loads(pickle.dumps(error, protocol))) == state(error)


def fail(error: AmendsError) -> None:
    raise error


def test_exceptions_survive_a_process_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for error in (EXAMPLES[-1], PollTimeoutError("bpred_1", "in_progress", 1.0, resume=lambda timeout=None: None)):
            with pytest.raises(type(error)) as caught:
                pool.submit(fail, error).result()
            assert str(caught.value) == str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ValidationError),
        (401, AuthError),
        (402, PaymentRequiredError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, ApiError),
        (406, ApiError),
        (408, ApiError),
        (409, ConflictError),
        (410, GoneError),
        (413, ApiError),
        (415, ApiError),
        (418, ApiError),
        (422, ValidationError),
        (429, RateLimitError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (507, ServerError),
        (599, ServerError),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html></html>", b'{"type": "https://x.example/errors/brand_new"}'])
def test_the_class_follows_from_the_status_where_the_type_is_unknown(
    status: int, expected: type[ApiError], body: bytes
) -> None:
    error = error_from(parse(status, None, body), status)
    assert type(error) is expected
    assert error.status_code == status


def test_a_known_type_under_another_status_is_judged_by_the_status() -> None:
    assert type(error_from(problem("conflict"), 503)) is ServerError


def test_an_api_error_carries_everything() -> None:
    made = not_found("batch", "bpred_1").replace(request_id="req_7")
    error = error_from(made, 404, ATTEMPTS)
    assert (error.status_code, error.code, error.error_code) == (404, "batch_not_found", "BATCH_NOT_FOUND")
    assert (error.request_id, error.problem, error.remedy, error.attempts) == ("req_7", made, made.remedy, ATTEMPTS)


def test_the_text_is_a_sentence_the_fix_and_the_request_id() -> None:
    error = error_from(not_found("batch", "bpred_1").replace(request_id="req_7"), 404)
    assert str(error) == (
        "Batch not found. Check the id and that the key belongs to the workspace that holds the resource. "
        "(request req_7)"
    )
    assert "(request" not in str(error_from(parse(502, None, b""), 502))


def test_a_payment_error_tells_what_is_missing() -> None:
    error = error_from(problem("credit_exceeded", required=12, remaining=1.5, unit="credits", upgrade_url="u"), 402)
    assert isinstance(error, PaymentRequiredError)
    assert (error.required, error.remaining, error.unit, error.upgrade_url) == (12, 1.5, "credits", "u")
    bare = error_from(parse(402, None, b'{"required": "many"}'), 402)
    assert isinstance(bare, PaymentRequiredError)
    assert (bare.required, bare.unit) == (None, None)


def test_a_validation_error_lists_its_faults() -> None:
    error = error_from(validation_failed([duplicate_custom_id("a", 1)]), 422)
    assert isinstance(error, ValidationError)
    assert error.errors == [
        {
            "loc": ["body", "items", 1, "custom_id"],
            "msg": "Duplicate custom_id 'a' in batch",
            "type": "value_error",
            "pointer": "/items/1/custom_id",
            "custom_id": "a",
        }
    ]


def test_the_headers_retry_after_wins_over_the_bodys() -> None:
    assert error_from(rate_limited(5), 429).retry_after == 5
    assert error_from(rate_limited(5), 429, retry_after=200.0).retry_after == 200.0


def test_a_poll_timeout_can_be_resumed_where_it_was_raised() -> None:
    error = PollTimeoutError("bpred_1", "in_progress", 12.5, resume=lambda timeout=None: ("done", timeout))
    assert error.resume(timeout=3) == ("done", 3)
    assert (error.run_id, error.status, error.elapsed) == ("bpred_1", "in_progress", 12.5)
    with pytest.raises(ConfigurationError, match="holds no client"):
        pickle.loads(pickle.dumps(error)).resume()
