"""Majority vote."""

from __future__ import annotations

import numpy as np

from amends.labelling._votes import Floats, Votes


def majority(votes: Votes, weights: Floats | None = None) -> Floats:
    """Return each label's share of each task's votes: ``tasks`` rows that sum to 1, or to 0 without a vote.

    weights: of each annotator, not negative; None weighs all alike. Where several labels have the largest share, whoever asks for
    one takes the first.
    """
    sums = votes.sums(None if weights is None else weights[votes.annotator])
    whole = sums.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(sums, whole, out=np.zeros_like(sums), where=whole > 0)
    return shares
