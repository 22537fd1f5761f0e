"""JSON at the SDK's edge: standard library, quicker with msgspec where it is installed (``amends[server]`` brings it).

Both ways write and read the same. An item is read or written in a few microseconds either way; over a million of them
msgspec saves seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

_dumps: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def encode(value: Any) -> bytes:
    """Write compact JSON. Raises ValueError for NaN and infinities, TypeError for what JSON does not have."""
    return _dumps(value).encode()


def _loads_lines(block: bytes) -> list[Any]:
    # One call for the block: lines of JSON hold no raw line break, so commas can stand in their place.
    values = json.loads(b"[" + block.strip(b"\n").replace(b"\n", b",") + b"]")
    assert isinstance(values, list)
    return values


try:
    from msgspec import json as _quick
except ImportError:  # pragma: no cover - the light installation
    _encode_quickly: Callable[[Any], bytes] | None = None
    _decode_lines: Callable[[bytes], list[Any]] = _loads_lines
else:
    _encode_quickly = _quick.Encoder().encode
    _decode_lines = _quick.Decoder().decode_lines


def encode_item(item: Mapping[str, Any], place: int) -> bytes:
    """Write one item as a line, without its line break. ``place``: its place in the iterable, for the message.

    Raises TypeError or ValueError naming the item where it is no mapping or cannot be written as JSON.
    """
    if not isinstance(item, Mapping):
        raise TypeError(f"items[{place}] is a {type(item).__name__}, not a mapping such as {{'custom_id': …}}")
    try:
        return _encode(item if type(item) is dict else dict(item))
    except Exception as error:  # TypeError, ValueError, RecursionError and each library's own
        name = item.get("custom_id")
        raise ValueError(f"items[{place}] (custom_id {name!r}) cannot be written as JSON: {error}") from error


def _encode(item: dict[str, Any]) -> bytes:
    if _encode_quickly is None:
        return encode(item)
    try:
        line = _encode_quickly(item)
    except OverflowError:  # an integer beyond 64 bits, which JSON has and msgspec has not
        return encode(item)
    # msgspec writes NaN as null without a word; the slower way refuses it.
    return encode(item) if b"null" in line else line


def decode(text: bytes) -> Any:
    """Read one JSON value. Raises ValueError where it is none (RecursionError included)."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def decode_lines(block: bytes) -> list[dict[str, Any]]:
    """Read lines of JSON objects. Raises ValueError where one is none."""
    try:
        values = _decode_lines(block)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise ValueError(str(error)) from error
    if not all(type(value) is dict for value in values):
        raise ValueError("a line is not an object")
    return values
