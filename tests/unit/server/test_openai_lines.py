"""Lines of an input file, in whatever pieces it is read; and the names on them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from amends.server.openai.lines import Names, Numbered, Request, first_model, numbered_lines, sliced
from tests.openai_client import chat_line

LONGEST = 8


def expected(data: bytes) -> list[Numbered]:
    lines = enumerate(data.split(b"\n"), 1)
    return [
        Numbered(number, None if len(line) > LONGEST else line)
        for number, line in lines
        if line.strip() or len(line) > LONGEST
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([b"a", b"\n", b" ", b"bcd", b"e" * 9, b"\r\n", b"f" * 30]), max_size=30), st.data())
def test_lines_are_the_same_in_whatever_pieces_the_file_comes(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert list(numbered_lines(pieces, LONGEST)) == expected(whole)


def test_a_line_that_does_not_end_is_not_held() -> None:
    def endless() -> list[bytes]:
        return [b"x" * 1_000] * 1_000

    assert list(numbered_lines(endless(), 5_000)) == [Numbered(1, None)]


def test_slices_hold_every_line_once_and_in_order() -> None:
    lines = [Numbered(number, b"x" * (1 << 20)) for number in range(11)]
    assert [line for some in sliced(lines) for line in some] == lines
    assert max(len(some) for some in sliced(lines)) == 4


def test_the_model_is_that_of_the_first_line_that_names_one() -> None:
    lines = [b"{nope", b'{"custom_id": "a"}', chat_line("b", model="local/minilm").encode(), chat_line("c").encode()]
    numbered = [Numbered(number, line) for number, line in enumerate(lines, 1)]
    assert first_model(numbered) == "local/minilm"
    assert first_model(numbered[:2]) is None


def test_names_are_remembered_over_slices() -> None:
    names = Names()
    try:
        assert names.repeated([Request(1, "a", b"{}"), Request(2, "b", b"{}"), Request(3, "a", b"{}")]) == {3: 1}
        assert names.repeated([Request(4, "c", b"{}"), Request(5, "b", b"{}"), Request(6, "é", b"{}")]) == {5: 2}
        assert names.repeated([Request(7, "é", b"{}")]) == {7: 6}
        assert names.repeated([]) == {}
    finally:
        names.close()
