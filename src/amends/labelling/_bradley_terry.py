"""Bradley and Terry's model: how strong each of many things is, from who was preferred to whom."""

from __future__ import annotations

import numpy as np

from amends.labelling._votes import Floats, Numbers


def bradley_terry(
    winner: Numbers,
    loser: Numbers,
    things: int,
    *,
    weights: Floats | None = None,
    prior: float = 0.1,
    most_steps: int = 1_000,
    tolerance: float = 1e-8,
) -> Floats:
    """Return the strength of each thing; they sum to 1, and a beats b with probability a / (a + b).

    winner, loser: things by number, one comparison a row, which weighs as much as ``weights`` says. prior: a draw that everything is
    taken to have had with something of mean strength, so often; without it (0) what never lost is infinitely strong.

    Source: D. R. Hunter, "MM algorithms for generalized Bradley-Terry models", The Annals of Statistics 32 (2004), section 2.
    """
    if things == 0:
        return np.zeros(0)
    weighed = np.ones(len(winner)) if weights is None else weights
    won = np.bincount(winner, weighed, things) + prior / 2
    strength = np.full(things, 1 / things)
    for _ in range(most_steps):
        met = weighed / (strength[winner] + strength[loser])
        share = np.bincount(winner, met, things) + np.bincount(loser, met, things) + prior / (strength + 1 / things)
        grown = np.divide(won, share, out=np.zeros(things), where=share > 0)
        grown /= grown.sum() or 1.0
        change = np.abs(grown - strength).max()
        strength = grown
        if change < tolerance:
            break
    return strength
