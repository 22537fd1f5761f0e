"""Free text and places in pictures: what is the same, and what stands for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amends.labelling import cluster_points, edit_distance, group_texts, medoid, normalised

WORDS = st.text(alphabet="abcd ", max_size=12)


def by_the_book(one: str, other: str) -> int:
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, 1):
        above, row[0] = row[0], place
        for column, second in enumerate(other, 1):
            above, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, above + (letter != second))
    return row[-1]


@given(WORDS, WORDS)
def test_edit_distance_is_levenshteins(one: str, other: str) -> None:
    assert edit_distance(one, other) == by_the_book(one, other) == edit_distance(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("A cat.", "a  CAT"), ("ﬁne", "fine"), ("Straße", "STRASSE"), ('"hello"', "hello!")]
)
def test_answers_are_the_same_but_for_case_blanks_and_marks_at_the_ends(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


def test_marks_alone_stay_what_they_are() -> None:
    assert normalised("?!") == "?!"
    assert normalised("3.5") == "3.5"


def test_a_group_is_shown_as_most_said_it_and_weighs_what_its_members_do() -> None:
    groups = group_texts(["A cat", "a cat", "a cat.", "dog", "a cat"], [1.0, 1.0, 1.0, 2.5, 1.0])
    assert [(group.text, group.weight, group.members) for group in groups] == [
        ("a cat", 4.0, (0, 1, 2, 4)),
        ("dog", 2.5, (3,)),
    ]


def test_what_more_than_half_said_stands_for_all_else_what_is_nearest_to_all() -> None:
    assert medoid(group_texts(["zebra", "zebra", "a cat"], [1.0] * 3)).text == "zebra"
    spread = ["the black cat", "the black cats", "a black cat", "something else altogether"]
    assert medoid(group_texts(spread, [1.0] * 4)).text == "the black cat"
    with pytest.raises(ValueError, match="no answer"):
        medoid([])


@given(st.lists(st.text(max_size=20), min_size=1, max_size=8))
def test_the_order_of_answers_does_not_matter(texts: list[str]) -> None:
    shuffled = sorted(texts)
    here, there = (medoid(group_texts(each, [1.0] * len(each))) for each in (texts, shuffled))
    assert normalised(here.text) == normalised(there.text)


def test_long_answers_are_compared_in_little_time() -> None:
    texts = [letter * 10_000 for letter in "abcdefghijklmnopqrstuvwxyz"]
    assert medoid(group_texts(texts, [1.0] * len(texts))).text in texts


def test_points_near_each_other_are_one_place_in_their_weighted_middle() -> None:
    points = [(0, 0.10, 0.10), (1, 0.12, 0.10), (2, 0.80, 0.80), (0, 0.81, 0.80)]
    first, second = cluster_points(points, [1.0, 3.0, 1.0])
    assert first.centre == pytest.approx((0.115, 0.10))
    assert first.support == pytest.approx(0.8)
    assert second.centre == pytest.approx((0.805, 0.80))
    assert (second.support, second.points) == (pytest.approx(0.4), 2)


def test_who_pointed_nowhere_counts_against_every_place() -> None:
    (only,) = cluster_points([(0, 0.5, 0.5)], [1.0, 1.0, 1.0, 1.0])
    assert only.support == 0.25
    assert cluster_points([], [1.0]) == []


def test_a_chain_of_near_points_is_one_place() -> None:
    chain = [(who, 0.1 + 0.04 * who, 0.5) for who in range(10)]
    assert len(cluster_points(chain, [1.0] * 10)) == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1), st.floats(0, 1)), max_size=30))
def test_every_point_is_in_one_place_and_no_support_is_more_than_all(points: list[tuple[int, float, float]]) -> None:
    found = cluster_points(points, [1.0] * 4)
    assert sum(cluster.points for cluster in found) == len(points)
    assert all(0 < cluster.support <= 1 for cluster in found)
