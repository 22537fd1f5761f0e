import json
import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from amends.problems import CATALOGUE, DIALECTS, STANDARD_MEMBERS, Problem, parse, problem, render

MEMBERS = [*sorted(STANDARD_MEMBERS), "error", "message", "retry_after", "loc", "msg", "details", "pointer", "hint"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(), inner, max_size=6)
    ),
    max_leaves=20,
)

statuses = st.integers(min_value=100, max_value=599)


def assert_is_whole(read: Problem) -> None:
    assert read.detail
    assert read.title
    assert read.detail.encode()
    assert pickle.loads(pickle.dumps(read)).slug == read.slug
    for dialect in DIALECTS:
        json.dumps(render(read, dialect, "http://x"))  # type: ignore[arg-type]


@given(statuses, st.none() | st.text(max_size=30) | st.just("text/html"), st.binary(max_size=300))
def test_any_bytes_parse_into_a_problem(status: int, media_type: str | None, body: bytes) -> None:
    assert_is_whole(parse(status, media_type, body))


@given(statuses, json_values)
def test_any_json_parses_into_a_problem(status: int, body: Any) -> None:
    assert_is_whole(parse(status, "application/json", json.dumps(body).encode()))


@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    st.none() | st.floats(min_value=0, max_value=1e6),
    st.sampled_from(sorted(DIALECTS)),
)
def test_what_is_rendered_is_read_back(slug: str, detail: str, retry_after: float | None, dialect: Any) -> None:
    sent = problem(slug, detail, retry_after=retry_after, request_id="req_1")
    media_type, body = render(sent, dialect, "http://x")
    read = parse(sent.status, media_type, json.dumps(body).encode())
    assert (read.slug, read.detail, read.error_code, read.remedy) == (slug, detail, sent.error_code, sent.remedy)
