"""Points in pictures: which of many annotators' are the same place, and where that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from amends.labelling._votes import Floats, Numbers

RADIUS: Final = 0.05
"""Points nearer than this are the same place, in parts of the picture's side."""
_MOST_POINTS: Final = 1_000


class Point(NamedTuple):
    """A place in a picture: parts of its width from the left, of its height from the top."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """Points of the same place. support: the part of all annotators' weight that has a point in it, 0 to 1."""

    centre: Point
    support: float
    points: int


def cluster_points(
    points: Sequence[tuple[int, float, float]], weights: Sequence[float], *, radius: float = RADIUS
) -> list[Cluster]:
    """Group (annotator, x, y) into places, the best supported first; points that a chain of near ones joins are one place.

    weights: of every annotator who answered, those without a point too. A place's centre is the mean of its points, each weighing
    as much as its annotator. Beyond 1,000 points the rest is left out.
    """
    if not points:
        return []
    table = np.array(points[:_MOST_POINTS], dtype=np.float64)
    who, places = table[:, 0].astype(np.int64), table[:, 1:]
    each = np.array(weights, dtype=np.float64)
    group = _joined(places, radius)
    whole = float(each.sum()) or 1.0
    found = [_cluster(places[group == number], who[group == number], each, whole) for number in np.unique(group)]
    return sorted(found, key=lambda cluster: (-cluster.support, cluster.centre))


def _joined(places: Floats, radius: float) -> Numbers:
    """The number of each point's group: the least of its points'."""
    near = ((places[:, None, :] - places[None, :, :]) ** 2).sum(axis=2) <= radius * radius
    group = np.arange(len(places))
    while True:
        least = np.where(near, group[None, :], len(places)).min(axis=1)
        if (least == group).all():
            return group
        group = least


def _cluster(places: Floats, who: Numbers, weights: Floats, whole: float) -> Cluster:
    each = weights[who]
    centre = np.average(places, axis=0, weights=each) if each.sum() > 0 else places.mean(axis=0)
    support = float(weights[np.unique(who)].sum()) / whole
    return Cluster(Point(float(centre[0]), float(centre[1])), support, len(places))
