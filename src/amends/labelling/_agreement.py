"""How far annotators agree."""

from __future__ import annotations

import numpy as np

from amends.labelling._votes import Floats, Votes


def percent_agreement(votes: Votes) -> float | None:
    """Of all pairs of votes on the same task, the share that says the same; None where no task has two votes."""
    _, _, counts = votes.cells()
    each = np.bincount(votes.task, minlength=votes.tasks)
    pairs = float((each * (each - 1)).sum())
    return float((counts * (counts - 1)).sum()) / pairs if pairs else None


def krippendorff_alpha(votes: Votes) -> float | None:
    """Krippendorff's alpha for nominal data: 1 for perfect agreement, 0 for what chance gives, below it for worse.

    None where no task has two votes. Where all pairable votes say the same there is nothing to disagree on: 1.
    Source: K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.
    """
    task, label, counts = votes.cells()
    each = np.bincount(votes.task, minlength=votes.tasks)
    total = float(each[each > 1].sum())
    if not total:
        return None
    is_paired = each[task] > 1
    task, label, counts = task[is_paired], label[is_paired], counts[is_paired]
    alike = float((counts * (counts - 1) / (each[task] - 1)).sum())
    of_label: Floats = np.bincount(label, counts, votes.labels).astype(np.float64)
    expected = float((of_label * (of_label - 1)).sum())
    if expected == total * (total - 1):
        return 1.0
    return ((total - 1) * alike - expected) / (total * (total - 1) - expected)
