"""Datapoints as they are read, kept and told apart, whatever is in them."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.problems import ProblemError
from amends.server.datapoints import DatapointBody, read_datapoints
from amends.store import Asset, NewDatapoint

WORDS = st.text(max_size=20)
ASSETS = st.one_of(
    st.builds(Asset, st.just("text"), text=WORDS),
    st.builds(Asset, st.just("url"), url=WORDS),
    st.builds(
        Asset, st.just("file"), sha256=st.sampled_from(["a" * 64, "b" * 64]), filename=WORDS, width=st.integers(1, 9)
    ),
)
MANY = st.lists(ASSETS, max_size=3).map(tuple)
DATAPOINTS = st.builds(
    NewDatapoint,
    st.sampled_from(["media", "text"]),
    MANY,
    st.none() | WORDS,
    MANY,
    st.none() | WORDS,
    st.none() | st.dictionaries(WORDS, st.integers() | WORDS | st.none(), max_size=2),
    st.none() | WORDS,
    st.none() | st.lists(WORDS, max_size=2).map(tuple),
)


@given(DATAPOINTS)
def test_a_datapoint_that_waits_comes_back_as_it_was(datapoint: NewDatapoint) -> None:
    assert NewDatapoint.from_json(datapoint.to_json()) == datapoint


def shown(datapoint: NewDatapoint) -> Any:
    """All by which it is the same as another one."""

    def of(assets: tuple[Asset, ...]) -> list[tuple[Any, ...]]:
        return [(asset.kind, asset.text, asset.url, asset.sha256 if asset.kind == "file" else None) for asset in assets]

    stated = (datapoint.context, datapoint.sentence, datapoint.group)
    return datapoint.data_type, of(datapoint.assets), of(datapoint.media_context), stated


@given(DATAPOINTS, DATAPOINTS)
def test_two_are_the_same_if_and_only_if_all_that_tells_them_apart_is(one: NewDatapoint, other: NewDatapoint) -> None:
    assert (one.identity == other.identity) == (shown(one) == shown(other))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_datapoints_or_a_problem(data: bytes, is_ndjson: bool) -> None:
    try:
        found = read_datapoints(data, 8, is_ndjson=is_ndjson)
    except ProblemError:
        return
    assert all((one.body is None) == (one.problem is not None) for one in found)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["assets", "text", "context", "a"]), inner)
    ),
    max_leaves=10,
)


@settings(max_examples=200)
@given(st.lists(JSON, min_size=1, max_size=4))
def test_each_of_an_array_is_judged_by_itself(values: list[Any]) -> None:
    found = read_datapoints(json.dumps(values).encode(), 8, is_ndjson=False)
    assert [one.index for one in found] == list(range(len(values)))
    for one, value in zip(found, values, strict=True):
        if one.problem is not None:
            assert all(error.pointer.startswith(f"/{one.index}") for error in one.problem.errors)
        else:
            assert one.body == DatapointBody.model_validate(value)


@pytest.mark.parametrize(("body", "is_ndjson"), [(b"[" + b"1," * 300_000 + b"1]", False), (b"1\n" * 300_001, True)])
def test_a_body_of_far_too_many_is_refused_before_it_is_taken_apart(body: bytes, *, is_ndjson: bool) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ProblemError, match="300001"):
            read_datapoints(body, 64, is_ndjson=is_ndjson)
        assert tracemalloc.get_traced_memory()[1] < 12e6
    finally:
        tracemalloc.stop()
