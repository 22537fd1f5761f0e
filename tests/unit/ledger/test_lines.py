"""Round trips: result lines and packed leases."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.ledger import (
    LeasedItem,
    ResultLines,
    line_head,
    line_members,
    pack_items,
    percent_encoded,
    unpack_items,
)
from amends.problems import Problem, problem

LINES = ResultLines("bpred_1", "req_1", "http://amends.test")

custom_ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)
objects = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
payloads = objects.map(lambda found: json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
big = st.integers(0, 2**31)
items = st.builds(LeasedItem, big, custom_ids, payloads, big, st.integers(0, 9))


def compact(found: dict[str, Any]) -> bytes:
    return json.dumps(found, separators=(",", ":")).encode()


def whole(tail: bytes) -> dict[str, Any]:
    line = line_head("bpred_1") + tail
    assert b"\n" not in line
    members = line_members(line)
    assert members == json.loads(line)
    assert list(members)[:3] == ["object", "batch_id", "custom_id"]
    return members


@given(st.lists(items, max_size=5))
def test_packed_items_come_back_as_they_were(leased: list[LeasedItem]) -> None:
    assert list(unpack_items(pack_items(leased))) == leased


def test_nothing_packed_is_nothing_unpacked() -> None:
    assert list(unpack_items(pack_items([]))) == []


@given(st.sampled_from([b"@" + b"ab" * 32, b"{}", b'{"input":"\\t\\n"}']))
def test_a_payload_is_packed_byte_for_byte(payload: bytes) -> None:
    [item] = unpack_items(pack_items([LeasedItem(0, "a b", payload)]))

    assert item.payload == payload


@given(custom_ids, objects, st.none() | objects, st.none() | objects, big, big)
def test_a_success_comes_back_as_it_was(
    custom_id: str,
    output: dict[str, Any],
    evidence: dict[str, Any] | None,
    usage: dict[str, Any] | None,
    attempts: int,
    elapsed_ms: int,
) -> None:
    tail = LINES.succeeded(
        custom_id,
        compact(output),
        evidence=None if evidence is None else compact(evidence),
        usage=None if usage is None else compact(usage),
        attempts=attempts,
        elapsed_ms=elapsed_ms,
    )

    assert whole(tail) == {
        "object": "batch_prediction.result",
        "batch_id": "bpred_1",
        "custom_id": custom_id,
        "status": "succeeded",
        "output": output,
        "error": None,
        "usage": usage,
        "attempts": attempts,
        "elapsed_ms": elapsed_ms,
        "evidence": evidence,
    }


@given(custom_ids, st.text(min_size=1, max_size=50), st.sampled_from(["errored", "canceled", "expired"]), big, big)
def test_a_failure_comes_back_as_it_was(
    custom_id: str, detail: str, status: Any, attempts: int, elapsed_ms: int
) -> None:
    found = problem("prediction_failed", detail)

    members = whole(LINES.ended(custom_id, status, found, attempts=attempts, elapsed_ms=elapsed_ms))

    body = members.pop("error")
    assert members == {
        "object": "batch_prediction.result",
        "batch_id": "bpred_1",
        "custom_id": custom_id,
        "status": status,
        "output": None,
        "usage": None,
        "attempts": attempts,
        "elapsed_ms": elapsed_ms,
        "evidence": None,
    }
    again = Problem.from_body(body, 422)
    assert (again.slug, again.detail, again.request_id) == ("prediction_failed", detail, "req_1")
    assert again.instance is not None
    prefix, _, segment = again.instance.rpartition("/")
    assert (prefix, unquote(segment)) == ("/v1/batch-predictions/bpred_1/items", custom_id)


@given(custom_ids, big)
def test_a_repeated_line_is_the_line_composed_singly(custom_id: str, attempts: int) -> None:
    found = problem("upstream_failed", 'Says "no".', provider="amends", attempts=0, elapsed_ms=0)

    line = LINES.repeated("canceled", found)

    assert line(custom_id, attempts) == LINES.ended(custom_id, "canceled", found, attempts=attempts)


def test_a_problem_that_names_its_instance_and_request_keeps_the_instance_only() -> None:
    found = problem("file_not_found", "Gone.", instance="/somewhere", request_id="req_other")

    body = whole(LINES.ended("a", "errored", found))["error"]

    assert (body["instance"], body["request_id"]) == ("/somewhere", "req_1")
    unnamed = ResultLines("bpred_1", "", "http://amends.test")
    assert whole(unnamed.ended("a", "errored", found))["error"]["request_id"] == "req_other"


@pytest.mark.parametrize(
    ("custom_id", "segment"), [("a/b", "a%2Fb"), ("ä", "%C3%A4"), ("a b?#", "a%20b%3F%23"), ("..", "..")]
)
def test_a_custom_id_is_one_segment_of_a_path(custom_id: str, segment: str) -> None:
    assert percent_encoded(custom_id) == segment
