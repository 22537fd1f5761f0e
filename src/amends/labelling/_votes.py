"""Votes as arrays: who gave which task which label, each by its number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Votes:
    """One vote a row: three arrays of the same length.

    task, annotator, label: numbers from 0 below ``tasks``, ``annotators``, ``labels``, of which some may have no vote.
    """

    task: Numbers
    annotator: Numbers
    label: Numbers
    tasks: int
    annotators: int
    labels: int

    @classmethod
    def of(cls, rows: Iterable[tuple[int, int, int]], *, tasks: int, annotators: int, labels: int) -> Votes:
        """Votes out of (task, annotator, label)."""
        table = np.array(list(rows), dtype=np.int64).reshape(-1, 3)
        return cls(table[:, 0], table[:, 1], table[:, 2], tasks, annotators, labels)

    def __len__(self) -> int:
        return len(self.task)

    def cells(self) -> tuple[Numbers, Numbers, Numbers]:
        """(task, label, votes) of every label that a task has votes for, however many labels there are."""
        each, counts = np.unique(self.task * self.labels + self.label, return_counts=True)
        return each // self.labels, each % self.labels, counts.astype(np.int64)

    def sums(self, weights: Floats | None = None) -> Floats:
        """What the votes for each label of each task weigh together: ``tasks`` rows, ``labels`` columns.

        weights: of each vote; None counts them.
        """
        cells = np.bincount(self.task * self.labels + self.label, weights=weights, minlength=self.tasks * self.labels)
        return cells.astype(np.float64).reshape(self.tasks, self.labels)
