"""Aggregation against crowd-kit, and by what must hold whatever the votes are."""

from __future__ import annotations

import importlib
import sys
import tracemalloc
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amends.labelling import (
    Votes,
    accuracy,
    bradley_terry,
    dawid_skene,
    krippendorff_alpha,
    majority,
    percent_agreement,
    posterior,
)

# crowd-kit asks pandas in words that pandas is about to forget.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")

LABELS = 3
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def crowdkit() -> Any:
    """crowd-kit's modules, without its packages' front doors, which load what it would need for texts and pictures."""
    places = [Path(place) / "crowdkit" for place in sys.path]
    root = next(place for place in places if (place / "aggregation").is_dir())
    for name in (
        "",
        ".aggregation",
        ".aggregation.classification",
        ".aggregation.pairwise",
        ".metrics",
        ".metrics.data",
    ):
        package = types.ModuleType("crowdkit" + name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[package.__name__] = package
    return importlib.import_module


@st.composite
def votes(draw: st.DrawFn, most_tasks: int = 8, most_annotators: int = 5) -> Votes:
    tasks = draw(st.integers(1, most_tasks))
    annotators = draw(st.integers(1, most_annotators))
    cells = [(task, annotator) for task in range(tasks) for annotator in range(annotators)]
    chosen = draw(st.lists(st.sampled_from(cells), unique=True, min_size=1))
    rows = [(task, annotator, draw(st.integers(0, LABELS - 1))) for task, annotator in chosen]
    return Votes.of(rows, tasks=tasks, annotators=annotators, labels=LABELS)


def noisy(seed: int, tasks: int = 60, annotators: int = 7, right: float = 0.7) -> tuple[Votes, np.ndarray]:
    """Votes of annotators who are right so often, five a task, and the truth."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, LABELS, tasks)
    rows = []
    for task in range(tasks):
        for annotator in random.choice(annotators, 5, replace=False):
            is_right = random.random() < right
            rows.append((task, int(annotator), int(truth[task]) if is_right else int(random.integers(0, LABELS))))
    return Votes.of(rows, tasks=tasks, annotators=annotators, labels=LABELS), truth


def frame(given_votes: Votes) -> pd.DataFrame:
    labels = [NAMES[label] for label in given_votes.label]
    return pd.DataFrame({"task": given_votes.task, "worker": given_votes.annotator, "label": labels})


@pytest.mark.parametrize("seed", range(2))
def test_dawid_skene_finds_what_crowd_kit_finds(crowdkit: Any, seed: int) -> None:
    given_votes, _ = noisy(seed)
    theirs = crowdkit("crowdkit.aggregation.classification.dawid_skene").DawidSkene(n_iter=30, tol=-1)
    theirs.fit(frame(given_votes))
    ours = dawid_skene(given_votes, prior=0.0, most_steps=30, tolerance=-np.inf)
    np.testing.assert_allclose(ours.posterior, theirs.probas_[NAMES].to_numpy(), atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_majority_finds_what_crowd_kit_finds(crowdkit: Any, seed: int) -> None:
    given_votes, _ = noisy(seed)
    theirs = crowdkit("crowdkit.aggregation.classification.majority_vote").MajorityVote()
    theirs.fit(frame(given_votes))
    np.testing.assert_allclose(majority(given_votes), theirs.probas_[NAMES].fillna(0.0).to_numpy(), atol=1e-12)


@pytest.mark.parametrize("seed", range(2))
def test_bradley_terry_finds_what_crowd_kit_finds(crowdkit: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    strength = np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    pairs = np.array([random.choice(5, 2, replace=False) for _ in range(400)])
    wins = random.random(400) < strength[pairs[:, 0]] / strength[pairs].sum(axis=1)
    winner, loser = np.where(wins, pairs[:, 0], pairs[:, 1]), np.where(wins, pairs[:, 1], pairs[:, 0])
    theirs = crowdkit("crowdkit.aggregation.pairwise.bradley_terry").BradleyTerry(
        n_iter=500, tol=-1
    )  # it compares a step with itself, so any other tolerance ends it at once
    columns = {"worker": 0, "left": pairs[:, 0], "right": pairs[:, 1], "label": winner}
    scores = theirs.fit_predict(pd.DataFrame(columns)).sort_index().to_numpy()
    ours = bradley_terry(winner, loser, 5, prior=0.0, tolerance=1e-12)
    np.testing.assert_allclose(ours, scores / scores.sum(), atol=1e-3)


def test_alpha_is_that_of_the_worked_example() -> None:
    """Krippendorff (2011), section C: four observers, twelve units, nominal data: 0.743."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    rows = [
        (unit, who, label - 1)
        for who, said in enumerate(observers)
        for unit, label in enumerate(said)
        if label is not None
    ]
    found = krippendorff_alpha(Votes.of(rows, tasks=12, annotators=4, labels=5))
    assert found == pytest.approx(0.743, abs=5e-4)


def test_agreement_of_single_votes_is_none_and_of_equal_ones_whole() -> None:
    alone = Votes.of([(0, 0, 1), (1, 1, 2)], tasks=2, annotators=2, labels=3)
    assert (krippendorff_alpha(alone), percent_agreement(alone)) == (None, None)
    alike = Votes.of([(0, 0, 1), (0, 1, 1)], tasks=1, annotators=2, labels=3)
    assert (krippendorff_alpha(alike), percent_agreement(alike)) == (1.0, 1.0)


def test_gold_tells_a_liar_from_an_honest_annotator() -> None:
    """Two liars outvote the honest one; gold tasks show who is who."""
    tasks, rows, truth = 40, [], {}
    for task in range(tasks):
        right = task % 2
        rows += [(task, 0, right), (task, 1, 1 - right), (task, 2, 1 - right)]
        if task < 10:
            truth[task] = right
    given_votes = Votes.of(rows, tasks=tasks, annotators=3, labels=2)
    found = dawid_skene(given_votes, truth=truth)
    assert [int(label) for label in found.posterior.argmax(axis=1)] == [task % 2 for task in range(tasks)]
    assert found.skill[0] > 0.9 > 0.2 > found.skill[1]
    assert majority(given_votes)[:, 1].round().tolist() == [1 - task % 2 for task in range(tasks)]


def test_a_single_annotator_is_believed_but_not_taken_for_an_oracle() -> None:
    found = dawid_skene(Votes.of([(0, 0, 1), (1, 0, 0)], tasks=2, annotators=1, labels=2))
    assert found.posterior.argmax(axis=1).tolist() == [1, 0]
    assert 0.5 < found.skill[0] < 1.0


@settings(max_examples=60, deadline=None)
@given(votes())
def test_shares_and_posteriors_sum_to_one_where_there_are_votes(given_votes: Votes) -> None:
    has_votes = np.bincount(given_votes.task, minlength=given_votes.tasks) > 0
    for found in (majority(given_votes), dawid_skene(given_votes).posterior):
        np.testing.assert_allclose(found.sum(axis=1), has_votes.astype(float), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(votes(), st.permutations(range(5)), st.permutations(range(LABELS)))
def test_the_order_of_annotators_and_labels_does_not_matter(
    given_votes: Votes, who: list[int], which: list[int]
) -> None:
    renamed = Votes(
        given_votes.task,
        np.array(who)[given_votes.annotator],
        np.array(which)[given_votes.label],
        given_votes.tasks,
        5,
        LABELS,
    )
    np.testing.assert_allclose(majority(given_votes), majority(renamed)[:, which], atol=1e-12)
    ours, theirs = dawid_skene(given_votes), dawid_skene(renamed)
    np.testing.assert_allclose(ours.posterior, theirs.posterior[:, which], atol=1e-6)
    for measure in (krippendorff_alpha, percent_agreement):
        assert measure(given_votes) == pytest.approx(measure(renamed))


def test_agreement_takes_no_room_for_answers_that_a_task_did_not_get() -> None:
    """Where each datapoint has its own answers, tasks times answers would be 100 million cells."""
    tasks = np.repeat(np.arange(10_000), 2)
    given_votes = Votes(tasks, np.tile([0, 1], 10_000), tasks, 10_000, 2, 10_000)
    tracemalloc.start()
    try:
        assert percent_agreement(given_votes) == krippendorff_alpha(given_votes) == pytest.approx(1.0)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, LABELS - 1), min_size=1, max_size=8), st.integers(2, 5))
def test_unanimous_votes_win(truth: list[int], annotators: int) -> None:
    rows = [(task, who, label) for task, label in enumerate(truth) for who in range(annotators)]
    given_votes = Votes.of(rows, tasks=len(truth), annotators=annotators, labels=LABELS)
    assert majority(given_votes).argmax(axis=1).tolist() == truth
    assert dawid_skene(given_votes).posterior.argmax(axis=1).tolist() == truth
    assert krippendorff_alpha(given_votes) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)).filter(lambda pair: pair[0] != pair[1]), min_size=1))
def test_strengths_sum_to_one_and_follow_the_wins(pairs: list[tuple[int, int]]) -> None:
    table = np.array(pairs)
    found = bradley_terry(table[:, 0], table[:, 1], 5)
    assert found.sum() == pytest.approx(1.0)
    assert (found > 0).all()
    reversed_ = bradley_terry(table[:, 1], table[:, 0], 5)
    if len(set(table[:, 0]) & set(table[:, 1])) == 0:
        assert found[table[:, 0]].min() > found[table[:, 1]].max()
        assert reversed_[table[:, 0]].max() < reversed_[table[:, 1]].min()


def test_a_thing_that_was_never_compared_is_of_mean_strength() -> None:
    found = bradley_terry(np.array([0, 0, 1]), np.array([1, 1, 0]), 3)
    assert found[0] > found[2] > found[1]


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 1)), max_size=12))
def test_a_posterior_is_a_distribution_and_grows_with_each_vote(given_votes: list[tuple[int, float]]) -> None:
    before = posterior(given_votes, 3)
    assert sum(before) == pytest.approx(1.0)
    assert posterior([*given_votes, (1, 0.9)], 3)[1] >= before[1]


def test_nobody_is_known_before_the_first_gold_task_and_nobody_is_perfect_after_it() -> None:
    assert accuracy(0, 0) == 0.8
    assert 0.8 < accuracy(1, 1) < 1
    assert accuracy(0, 1) < 0.8
    assert posterior([], 4) == [0.25] * 4
    assert posterior([(0, 0.8)], 2) == pytest.approx([0.8, 0.2])


def test_many_votes_are_no_matter() -> None:
    random = np.random.default_rng(1)
    tasks, size = 20_000, 60_000
    given_votes = Votes(
        random.integers(0, tasks, size), random.integers(0, 500, size), random.integers(0, 5, size), tasks, 500, 5
    )
    assert dawid_skene(given_votes, most_steps=3).posterior.shape == (tasks, 5)
