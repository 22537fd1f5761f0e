"""Dawid and Skene's model: what the truth is, and what each annotator makes of it, estimated together.

Source: A. P. Dawid, A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied
Statistics 28 (1979).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from amends.labelling._confidence import PRIOR_ACCURACY
from amends.labelling._majority import majority
from amends.labelling._votes import Floats, Votes

_LEAST = 1e-10
"""No confusion is impossible, or one odd vote would rule out a label for ever."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """posterior: the probability of each label of each task; 0 in all columns of a task without votes and known truth.

    confusion: ``[annotator, truth, label]``, the probability that the annotator says ``label`` where ``truth`` is right; its rows
    sum to 1. share: of each label among the tasks.
    """

    posterior: Floats
    confusion: Floats
    share: Floats

    @property
    def skill(self) -> Floats:
        """How often each annotator is right, one number from 0 to 1."""
        diagonal = np.diagonal(self.confusion, axis1=1, axis2=2)
        found: Floats = diagonal @ self.share
        return found


def dawid_skene(
    votes: Votes,
    *,
    truth: Mapping[int, int] | None = None,
    prior: float = 1.0,
    most_steps: int = 100,
    tolerance: float = 1e-5,
) -> Estimate:
    """Estimate by expectation maximisation, from the majority vote on.

    truth: labels that are known, by task, as those of gold tasks are. prior: votes that every annotator is taken to have given
    already for each truth, of which ``PRIOR_ACCURACY`` right; without them (0) a few answers make somebody an oracle or a liar.
    tolerance: it ends when the mean log-likelihood of a vote grows by less.
    """
    known = _known(votes, truth or {})
    posterior = _with_known(majority(votes), known)
    before = -np.inf
    confusion, share = _maximised(votes, posterior, prior)
    for _ in range(most_steps):
        posterior, likelihood = _expected(votes, confusion, share)
        posterior = _with_known(posterior, known)
        confusion, share = _maximised(votes, posterior, prior)
        if likelihood - before < tolerance:
            break
        before = likelihood
    return Estimate(posterior, confusion, share)


def _known(votes: Votes, truth: Mapping[int, int]) -> Floats | None:
    if not truth:
        return None
    known = np.zeros((votes.tasks, votes.labels))
    known[list(truth.keys()), list(truth.values())] = 1.0
    return known


def _with_known(posterior: Floats, known: Floats | None) -> Floats:
    if known is None:
        return posterior
    return np.where(known.any(axis=1, keepdims=True), known, posterior)


def _maximised(votes: Votes, posterior: Floats, prior: float) -> tuple[Floats, Floats]:
    labels = votes.labels
    counts = np.empty((votes.annotators, labels, labels))
    cell = votes.annotator * labels + votes.label
    for right in range(labels):  # one truth at a time: a vote's row is never as wide as there are labels
        weights = posterior[votes.task, right]
        counts[:, right] = np.bincount(cell, weights, votes.annotators * labels).reshape(-1, labels)
    counts += prior * _prior(labels)
    counts = np.maximum(counts, _LEAST)
    share = posterior.sum(axis=0)
    total = share.sum()
    return counts / counts.sum(axis=2, keepdims=True), share / total if total else np.full(labels, 1 / labels)


def _prior(labels: int) -> Floats:
    if labels == 1:
        return np.ones((1, 1))
    wrong = (1 - PRIOR_ACCURACY) / (labels - 1)
    return np.full((labels, labels), wrong) + np.eye(labels) * (PRIOR_ACCURACY - wrong)


def _expected(votes: Votes, confusion: Floats, share: Floats) -> tuple[Floats, float]:
    """The posterior, and the mean log-likelihood of a vote."""
    has_votes = np.bincount(votes.task, minlength=votes.tasks) > 0
    logs = np.empty((votes.tasks, votes.labels))
    said = np.log(confusion)
    for right in range(votes.labels):
        each = said[votes.annotator, right, votes.label]
        logs[:, right] = np.bincount(votes.task, each, votes.tasks) + np.log(max(share[right], _LEAST))
    top = logs.max(axis=1, keepdims=True)
    scaled = np.exp(logs - top)
    whole = scaled.sum(axis=1, keepdims=True)
    likelihood = float(((top + np.log(whole))[:, 0] * has_votes).sum()) / max(len(votes), 1)
    return scaled / whole * has_votes[:, None], likelihood
