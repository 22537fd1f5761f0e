import pickle

import pytest

import amends.problems
from amends.problems import (
    CATALOGUE,
    FieldError,
    Problem,
    ProblemError,
    duplicate,
    duplicate_custom_id,
    empty_items,
    file_not_found,
    idempotency_conflict,
    idempotency_in_progress,
    invalid_credentials,
    no_permission,
    not_authenticated,
    not_found,
    pointer_to,
    problem,
    rate_limited,
    results_gone,
    token_expired,
    too_many_batches,
    validation_failed,
)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (not_authenticated(), "Not authenticated"),
        (problem("no_authentication"), "Not authenticated"),
        (invalid_credentials(), "Invalid authentication credentials"),
        (token_expired(), "Token has expired"),
        (validation_failed([duplicate_custom_id("X", 3)]), "Duplicate custom_id 'X' in batch"),
        (validation_failed([duplicate_custom_id("X", 3, is_line=True)]), "Duplicate custom_id 'X' in batch"),
        (validation_failed([empty_items()]), "items must contain at least one item"),
        (file_not_found("X"), "File 'X' does not exist or is not accessible from this workspace."),
        (
            results_gone("bpred_1"),
            "Batch prediction results are no longer available because they were deleted after the retention period.",
        ),
        (not_found("collection"), "Collection not found"),
        (not_found("api_key"), "API key not found"),
        (no_permission("delete", "collection"), "You do not have permission to delete this collection"),
        (rate_limited(12), "Rate limit exceeded. Try again in 12 seconds."),
        (rate_limited(0.2), "Rate limit exceeded. Try again in 1 seconds."),
        (
            too_many_batches(),
            "Too many batch prediction requests are already in progress for this workspace.",
        ),
        (problem("internal_server_error"), "An unexpected error occurred"),
        (problem("service_unavailable"), "Service temporarily unavailable. Please try again later."),
    ],
)
def test_promised_sentences_are_kept_word_for_word(made: Problem, sentence: str) -> None:
    assert made.detail == sentence


def test_a_missing_resource_names_its_kind_and_id() -> None:
    body = not_found("collection", "abc").to_body("http://x")
    assert (body["error_code"], body["code"], body["collection_id"]) == (
        "COLLECTION_NOT_FOUND",
        "collection_not_found",
        "abc",
    )
    assert duplicate("collection", "a").error_code == "DUPLICATE_COLLECTION"
    assert idempotency_conflict().code == "idempotency_conflict"


def test_a_duplicate_custom_id_has_pointer_code_and_custom_id() -> None:
    made = validation_failed([duplicate_custom_id("a", 2)])
    assert made.to_body("http://x")["errors"] == [
        {
            "pointer": "/items/2/custom_id",
            "code": "duplicate_custom_id",
            "message": "Duplicate custom_id 'a' in batch",
            "loc": ["body", "items", 2, "custom_id"],
            "type": "value_error",
            "custom_id": "a",
        }
    ]
    assert duplicate_custom_id("a", 2, is_line=True).pointer == "/items/2"


def test_a_body_has_the_standard_members_and_the_extensions() -> None:
    made = problem(
        "rate_limit_exceeded", instance="/v1/files", request_id="req_1", retry_after=7, limit="writes", billed=True
    )
    assert made.to_body("https://api.example/") == {
        "type": "https://api.example/errors/rate_limit_exceeded",
        "title": "Rate Limit Exceeded",
        "status": 429,
        "detail": "Rate limit exceeded. Try again in 7 seconds.",
        "instance": "/v1/files",
        "error_code": "RATE_LIMIT_EXCEEDED",
        "code": "rate_limit_exceeded",
        "request_id": "req_1",
        "remedy": {
            "action": "wait",
            "retryable": True,
            "retry_after": 7,
            "fault": "caller",
            "safe_new_key": True,
            "billed": True,
            "hint": "Wait as long as `Retry-After` says, then repeat the request.",
        },
        "limit": "writes",
        "retry_after": 7,
    }


def test_an_extension_never_overwrites_a_standard_member() -> None:
    sneaky = problem("conflict").replace(extensions={"status": 200, "title": "Fine", "remedy": None, "seen": 1})
    body = sneaky.to_body("http://x")
    assert (body["status"], body["title"], body["seen"]) == (409, "Conflict", 1)
    assert body["remedy"]["action"] == "fix_input"


@pytest.mark.parametrize("name", ["type", "title", "status", "code", "remedy"])
def test_a_problem_is_not_made_with_an_extension_named_like_a_standard_member(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        problem("conflict", **{name: 1})


def test_a_problem_is_not_made_outside_the_catalogue() -> None:
    with pytest.raises(ValueError, match="no 'nothing_such'"):
        problem("nothing_such")
    with pytest.raises(ValueError, match="no error code of conflict"):
        problem("conflict", error_code="RESULTS_GONE")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_wait_is_a_span_of_time(seconds: float) -> None:
    with pytest.raises(ValueError, match="no span"):
        problem("rate_limit_exceeded", retry_after=seconds)


def test_the_error_code_decides_the_verdict() -> None:
    assert problem("conflict").remedy.retryable is False
    waiting = idempotency_in_progress()
    assert (waiting.remedy.action, waiting.remedy.retryable, waiting.retry_after) == ("wait", True, 1)
    assert problem("upstream_failed", error_code="UPSTREAM_REFUSED").remedy.retryable is False


def test_a_hint_can_be_given_for_the_occurrence() -> None:
    assert problem("conflict", hint="Use `name`.").remedy.hint == "Use `name`."


def test_only_the_first_thousand_errors_are_listed_and_all_are_counted() -> None:
    made = validation_failed(duplicate_custom_id(str(n), n) for n in range(1_500))
    assert (len(made.errors), made.extensions["errors_total"]) == (1_000, 1_500)
    assert validation_failed([empty_items()], errors_total=7).extensions["errors_total"] == 7


def test_a_message_that_does_not_name_its_field_is_put_after_the_path() -> None:
    made = validation_failed([FieldError.at(("body", "items", 0, "file_id"), "Field required", "missing")])
    assert made.detail == "items.0.file_id: Field required"


def test_a_pointer_escapes_and_leads_into_the_body_only() -> None:
    assert pointer_to(["a/b", "c~d", 0, ""]) == "/a~1b/c~0d/0/"
    assert FieldError.at(("query", "limit"), "too much").pointer == ""
    assert FieldError.at(("body",), "bad").pointer == ""


@pytest.mark.parametrize("slug", CATALOGUE)
def test_a_problem_pickles(slug: str) -> None:
    made = problem(slug, **CATALOGUE[slug].example)
    assert pickle.loads(pickle.dumps(made)) == made
    error = pickle.loads(pickle.dumps(ProblemError(made, "the inside")))
    assert (error.problem, error.log_detail) == (made, "the inside")
    assert str(error) == f"{made.error_code}: {made.detail}"
    assert hash(made) == hash(made.replace())


def test_the_front_door_lists_what_it_exposes() -> None:
    # "@…" are what pytest adds to a module that a plugin of its brings in.
    exposed = {name for name in vars(amends.problems) if not name.startswith(("_", "@"))}
    assert exposed == set(amends.problems.__all__)
