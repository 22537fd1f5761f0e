"""What many answers to the same tasks say together: pure functions, which know nothing of orders or databases.

Names load when they are first used: most of them need numpy, and what decides about a single task does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from amends._lazy import front_door

if TYPE_CHECKING:
    from amends.labelling._agreement import krippendorff_alpha, percent_agreement
    from amends.labelling._bradley_terry import bradley_terry
    from amends.labelling._confidence import PRIOR_ACCURACY, accuracy, posterior
    from amends.labelling._dawid_skene import Estimate, dawid_skene
    from amends.labelling._majority import majority
    from amends.labelling._points import Cluster, Point, cluster_points
    from amends.labelling._texts import TextGroup, edit_distance, group_texts, medoid, normalised
    from amends.labelling._votes import Votes

_HOMES = {
    "_agreement": ("krippendorff_alpha", "percent_agreement"),
    "_bradley_terry": ("bradley_terry",),
    "_confidence": ("PRIOR_ACCURACY", "accuracy", "posterior"),
    "_dawid_skene": ("Estimate", "dawid_skene"),
    "_majority": ("majority",),
    "_points": ("Cluster", "Point", "cluster_points"),
    "_texts": ("TextGroup", "edit_distance", "group_texts", "medoid", "normalised"),
    "_votes": ("Votes",),
}
_HOME_OF = {name: f".{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "PRIOR_ACCURACY",
    "Cluster",
    "Estimate",
    "Point",
    "TextGroup",
    "Votes",
    "accuracy",
    "bradley_terry",
    "cluster_points",
    "dawid_skene",
    "edit_distance",
    "group_texts",
    "krippendorff_alpha",
    "majority",
    "medoid",
    "normalised",
    "percent_agreement",
    "posterior",
]

__getattr__, __dir__ = front_door(__name__, _HOME_OF, __all__)
