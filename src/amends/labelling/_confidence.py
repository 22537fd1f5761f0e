"""How sure an answer is, given who said what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

PRIOR_ACCURACY: Final = 0.8
"""How often somebody is right of whom nothing is known yet."""
_PRIOR_VOTES: Final = 5.0
_SUREST: Final = 0.99


def accuracy(right: float, asked: float) -> float:
    """How often an annotator is right who was right ``right`` times of ``asked``, where the truth was known.

    The mean of a Beta distribution: without evidence ``PRIOR_ACCURACY``, which counts as much as five answers.
    """
    return (right + PRIOR_ACCURACY * _PRIOR_VOTES) / (asked + _PRIOR_VOTES)


def posterior(votes: Sequence[tuple[int, float]], labels: int) -> list[float]:
    """Return the probability of each label, given (label, accuracy of who said it) and that all were as likely before.

    Who errs says any other label with the same probability; who does worse than chance is taken to know nothing. Without votes all
    are alike.
    """
    chance = 1 / labels
    if labels == 1:
        return [1.0]
    logs = [0.0] * labels
    for label, right in votes:
        right = min(max(right, chance), _SUREST)
        logs[label] += math.log(right) - math.log((1 - right) / (labels - 1))
    top = max(logs)
    scaled = [math.exp(each - top) for each in logs]
    whole = sum(scaled)
    return [each / whole for each in scaled]
