"""Items of a new batch as they are read: the quick paths take nothing that the model would refuse, and every fault is named."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from amends.problems import ProblemError
from amends.server.arrays import array_pieces
from amends.server.items import Faults, ItemLine, read_array, read_lines, rows_of, sent_digest
from amends.server.sources import whole_lines
from amends.server.wire import ItemBody
from amends.store import FileRef


def lines(*values: Any) -> bytes:
    return b"\n".join(value if isinstance(value, bytes) else json.dumps(value).encode() for value in values)


def read(data: bytes, nesting: int = 64) -> tuple[list[ItemLine], Faults]:
    faults = Faults()
    return read_lines(data, 0, faults, nesting=nesting), faults


def test_good_lines_come_out_in_order() -> None:
    items, faults = read(lines({"custom_id": "a", "input": "x"}, {"custom_id": "b", "file_id": "file_1", "page": 2}))
    assert [item.custom_id for item in items] == ["a", "b"]
    assert not faults


def test_lines_may_end_in_carriage_returns() -> None:
    items, faults = read(b'{"custom_id":"a","input":1}\r\n{"custom_id":"b","input":2}\r')
    assert [item.custom_id for item in items] == ["a", "b"]
    assert not faults


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"", "json_invalid"),
        (b"   ", "json_invalid"),
        (b"{", "json_invalid"),
        (b"[]", "model_type"),
        (b"3", "model_type"),
        (b'{"custom_id":"x","input":"\xff"}', "json_invalid"),
        (b'{"custom_id":"x","input":NaN}', "json_invalid"),
        (b'{"custom_id":"x","input":"\\ud800"}', "json_invalid"),
        (b'{"custom_id":"x","input":1}{"custom_id":"y","input":1}', "json_invalid"),
        (b'{"custom_id":"x","input":' + b"[" * 70 + b"]" * 70 + b"}", "json_invalid"),
        (b'{"custom_id":"x","input":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "json_invalid"),
        ({"custom_id": "", "input": 1}, "string_too_short"),
        ({"custom_id": "x" * 257, "input": 1}, "string_too_long"),
        ({"custom_id": "a\tb", "input": 1}, "not_printable"),
        ({"custom_id": "a\u200b", "input": 1}, "not_printable"),
        ({"custom_id": 7, "input": 1}, "string_type"),
        ({"input": 1}, "missing"),
        ({"custom_id": "x"}, "one_source"),
        ({"custom_id": "x", "input": None}, "one_source"),
        ({"custom_id": "x", "input": 1, "file_id": "f"}, "one_source"),
        ({"custom_id": "x", "url": "ftp://example.org"}, "invalid_url"),
        ({"custom_id": "x", "url": "http://user@example.org"}, "invalid_url"),
        ({"custom_id": "x", "url": ""}, "string_too_short"),
        ({"custom_id": "x", "url": "http://example.org/" + "a" * 8_192}, "string_too_long"),
        ({"custom_id": "x", "url": "http://example.org", "input": 1}, "one_source"),
        ({"custom_id": "x", "url": "http://example.org", "file_id": "f"}, "one_source"),
        ({"custom_id": "x", "file_id": "f", "page": 0}, "greater_than_equal"),
        ({"custom_id": "x", "file_id": "f", "page": True}, "int_type"),
        ({"custom_id": "x", "file_id": "f", "page": "1"}, "int_type"),
        ({"custom_id": "x", "input": 1, "page": 1}, "page_without_file"),
        ({"custom_id": "x", "input": 1, "prompt": 3}, "string_type"),
        ({"custom_id": "x", "input": 1, "colour": "red"}, "extra_forbidden"),
    ],
)
def test_bad_line_is_named_and_its_neighbours_are_taken(bad: Any, code: str) -> None:
    items, faults = read(lines({"custom_id": "a", "input": 1}, bad, {"custom_id": "b", "input": 2}))
    assert [item.custom_id for item in items] == ["a", "b"]
    assert [fault.code for fault in faults.first] == [code]
    assert faults.first[0].pointer.startswith("/items/1")


def test_object_over_two_lines_is_no_item() -> None:
    items, faults = read(b'{"custom_id":"a","input":[{"n":1}\n{"n":2}]}\n{"custom_id":"b","input":1}')
    assert [item.custom_id for item in items] == ["b"]
    assert faults.total == 2


def test_two_items_on_a_line_and_a_split_one_do_not_make_up_for_each_other() -> None:
    data = b'{"custom_id":"a","input":1} {"custom_id":"b","input":2}\n{"custom_id":"c",\n"input":3}'
    items, faults = read(data)
    assert items == []
    assert faults.total == 3


def test_every_fault_of_a_line_is_named() -> None:
    _, faults = read(lines({"custom_id": "x" * 300, "file_id": "f", "page": 0, "colour": 1}))
    assert {fault.pointer for fault in faults.first} == {"/items/0/custom_id", "/items/0/page", "/items/0/colour"}
    assert {fault.custom_id for fault in faults.first} == {"x" * 300}


def test_only_the_first_thousand_faults_are_kept_and_all_are_counted() -> None:
    _, faults = read(b"\n".join([b"{"] * 1_500))
    assert (len(faults.first), faults.total) == (1_000, 1_500)


def test_array_may_be_pretty_printed_and_payloads_are_compact() -> None:
    data = json.dumps([{"custom_id": "a", "input": {"k": [1, "a\tb"]}}], indent="\t").encode()
    items = read_array(data, 0, Faults(), nesting=64)
    assert rows_of(items, {})[0].payload == b'{"input":{"k":[1,"a\\tb"]}}'


def test_numbers_are_passed_on_as_they_were_written() -> None:
    items, _ = read(b'{"custom_id":"a","input":{"big":123456789012345678901234567890,"exact":0.10}}')
    assert rows_of(items, {})[0].payload == b'{"input":{"big":123456789012345678901234567890,"exact":0.10}}'


def test_file_item_carries_what_is_known_of_its_file() -> None:
    items, _ = read(
        lines({"custom_id": "a", "file_id": "f1", "page": 2, "prompt": "p"}, {"custom_id": "b", "file_id": "f2"})
    )
    rows = rows_of(items, {"f1": FileRef("f1", "ab" * 32, "application/pdf", 3, "x.pdf", 10)})
    assert json.loads(rows[0].payload) == {
        "file": {
            "id": "f1", "sha256": "ab" * 32, "media_type": "application/pdf", "pages": 3, "filename": "x.pdf", "bytes": 10,
        },
        "page": 2,
        "prompt": "p",
    }  # fmt: skip
    assert json.loads(rows[1].payload) == {"file": {"id": "f2", "sha256": None}, "page": None}


def test_digest_is_of_what_was_sent_not_of_what_the_files_have_become() -> None:
    items, _ = read(lines({"custom_id": "a", "file_id": "f1"}))
    known = {"f1": FileRef("f1", "ab" * 32, "text/plain", None, "x.txt", 1)}
    assert sent_digest(items, rows_of(items, known)) == sent_digest(items, rows_of(items, {}))


def test_digest_tells_items_apart() -> None:
    digests = set()
    for item in (
        {"input": 1},
        {"input": 2},
        {"input": 1, "prompt": "p"},
        {"file_id": "f"},
        {"file_id": "f", "page": 1},
    ):
        items, _ = read(lines({"custom_id": "a", **item}))
        digests.add(sent_digest(items, rows_of(items, {})))
    assert len(digests) == 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
some_items = st.fixed_dictionaries(
    {},
    optional={
        "custom_id": st.text(max_size=4) | st.none() | st.integers(),
        "file_id": st.text(max_size=3) | st.none(),
        "input": json_values,
        "url": st.none() | st.text(max_size=2) | st.sampled_from(["http://example.org/a?b=ü", "http://0x7f.1/"]),
        "page": st.none() | st.integers(-1, 3) | st.floats(0, 3) | st.booleans(),
        "prompt": st.none() | st.text(max_size=2) | st.integers(),
        "other": st.none(),
    },
)


@settings(max_examples=300)
@given(st.lists(some_items, min_size=1, max_size=4))
def test_quick_paths_agree_with_the_model(values: list[dict[str, Any]]) -> None:
    def is_good(value: dict[str, Any]) -> bool:
        try:
            ItemBody.model_validate(msgspec.json.decode(json.dumps(value).encode()))
        except (ValidationError, msgspec.DecodeError):
            return False
        return True

    expected = [value["custom_id"] for value in values if is_good(value)]
    items, faults = read(lines(*values))
    assert [item.custom_id for item in items] == expected
    assert bool(faults) == (len(expected) < len(values))
    array_faults = Faults()
    data = json.dumps(values, indent=1).encode()
    if not re.search(rb"\\ud[89a-f]", data):  # no JSON array to msgspec, which is asked first
        array = read_array(data, 0, array_faults, nesting=64)
        assert [item.custom_id for item in array] == expected
        assert [fault.pointer for fault in array_faults.first] == [fault.pointer for fault in faults.first]


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\n\\ custom_idnput1', max_size=60).map(str.encode))
def test_any_bytes_end_as_items_or_as_faults(data: bytes) -> None:
    items, faults = read(data)
    assert len(items) + len({fault.loc[2] for fault in faults.first}) == data.replace(b"\r\n", b"\n").count(b"\n") + 1


async def _pieces(chunks: list[bytes], line_bytes: int) -> list[bytes]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [piece async for piece in whole_lines(stream(), line_bytes)]


@given(st.lists(st.binary(min_size=1, max_size=9).map(lambda b: b.replace(b"\n", b"x")), min_size=1), st.integers(1, 7))
def test_lines_survive_any_cutting_of_the_stream(texts: list[bytes], size: int) -> None:
    body = b"\n".join(texts) + b"\n"
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert b"\n".join(asyncio.run(_pieces(chunks, 100))) == b"\n".join(texts)


@pytest.mark.parametrize(
    "chunks", [[b"x" * 11], [b"x" * 6, b"x" * 6], [b"a\n" + b"x" * 11 + b"\n"], [b"a\n", b"x" * 11]]
)
def test_line_that_is_too_long_is_refused(chunks: list[bytes]) -> None:
    with pytest.raises(ProblemError) as refused:
        asyncio.run(_pieces(chunks, 10))
    assert refused.value.problem.slug == "payload_too_large"


def test_large_stream_comes_in_pieces_of_whole_lines() -> None:
    body = b"".join(b"%07d\n" % n for n in range(200_000))
    pieces = asyncio.run(_pieces([body[start : start + 65_536] for start in range(0, len(body), 65_536)], 100))
    assert max(map(len, pieces)) < 400_000
    assert b"\n".join(pieces) + b"\n" == body


@given(st.lists(json_values, max_size=12), st.integers(1, 40), st.sampled_from([None, 0, 2]))
def test_array_comes_in_pieces_that_hold_all_of_it(values: list[Any], size: int, indent: int | None) -> None:
    values = json.loads(re.sub(r"\\ud[89a-f]..", "?", json.dumps(values)))
    raw = msgspec.json.decode(json.dumps(values, indent=indent).encode(), type=msgspec.Raw)
    pieces = list(array_pieces(raw, size))
    read_back = [value for _, piece in pieces for value in json.loads(piece)]
    assert read_back == values
    assert [index for index, _ in pieces] == [
        sum(len(json.loads(piece)) for _, piece in pieces[:number]) for number in range(len(pieces))
    ]


def test_cuts_that_look_right_and_are_not_do_no_harm() -> None:
    values: list[Any] = [
        {"custom_id": "a", "input": [{"x": 1}, {"y": "},{"}] * 50},
        {"custom_id": "b", "input": "},{" * 99},
    ] * 20
    raw = msgspec.json.decode(json.dumps(values).encode(), type=msgspec.Raw)
    for size in (1, 64, 500, 4_000):
        assert [value for _, piece in array_pieces(raw, size) for value in json.loads(piece)] == values


def test_pieces_of_a_large_array_are_small() -> None:
    for element in ({"custom_id": "a", "input": 1}, 7, [], "text"):
        raw = msgspec.json.decode(json.dumps([element] * 100_000).encode(), type=msgspec.Raw)
        assert max(len(piece) for _, piece in array_pieces(raw, 10_000)) < 21_000
