from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.server.limits import is_deeper


def depth_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('[]{}"\\a\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('[]{}"\\a', max_size=4), inner, max_size=3),
    max_leaves=12,
)


@given(value=JSON, levels=st.integers(1, 6), indent=st.none() | st.just(1), ascii_only=st.booleans())
def test_depth_is_what_a_parser_finds(value: Any, levels: int, indent: int | None, ascii_only: bool) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert is_deeper(body, levels) == (depth_of(value) > levels)


@given(body=st.binary(max_size=200), levels=st.integers(1, 64))
def test_any_bytes_get_an_answer(body: bytes, levels: int) -> None:
    assert is_deeper(body, levels) in (True, False)


@pytest.mark.parametrize("levels", [63, 64, 65])
def test_the_limit_itself_is_allowed(levels: int) -> None:
    assert is_deeper(
        b'[{"a":' * (levels // 2) + b"[" * (levels % 2) + b"]" * (levels % 2) + b"}]" * (levels // 2), 64
    ) == (levels > 64)


def test_a_long_flat_body_is_not_deep() -> None:
    assert not is_deeper(json.dumps([{"a": [1, 2, {"b": "]]]["}]}] * 10_000).encode(), 4)
