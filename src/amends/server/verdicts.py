"""What the answers to one task say together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amends.server.aggregates import Aggregated
from amends.store import Response as Answered


def verdict(aggregated: Aggregated, seq: int, responses: Sequence[Answered]) -> dict[str, Any]:
    """answer, confidence, agreement and distribution of one task."""
    if not responses:
        return {"answer": None, "confidence": None, "agreement": None, "distribution": []}
    match aggregated.order.kind:
        case "free_text":
            return _text_verdict(aggregated, responses)
        case "locate":
            return _point_verdict(aggregated, responses)
    votes: dict[Any, int] = {}
    for one in responses:
        votes[one.answer] = votes.get(one.answer, 0) + 1
    shares = aggregated.shares(seq, responses)
    whole = sum(shares.values())
    if not whole:
        shares, whole = {label: float(count) for label, count in votes.items()}, float(len(responses))
    ranked = sorted(shares.items(), key=lambda pair: -pair[1])
    return {
        "answer": ranked[0][0],
        "confidence": round(ranked[0][1] / whole, 6),
        "agreement": _pairs_alike(list(votes.values())),
        "distribution": [
            {"answer": label, "share": round(share / whole, 6), "votes": votes.get(label, 0)} for label, share in ranked
        ],
    }


def _text_verdict(aggregated: Aggregated, responses: Sequence[Answered]) -> dict[str, Any]:
    from amends.labelling import group_texts, medoid

    groups = group_texts(
        [one.answer for one in responses], [aggregated.weights.get(one.annotator_id, 1.0) for one in responses]
    )
    whole = sum(group.weight for group in groups) or 1.0
    chosen = medoid(groups)
    return {
        "answer": chosen.text,
        "confidence": round(chosen.weight / whole, 6),
        "agreement": _pairs_alike([len(group.members) for group in groups]),
        "distribution": [
            {"answer": group.text, "share": round(group.weight / whole, 6), "votes": len(group.members)}
            for group in groups
        ],
    }


def _point_verdict(aggregated: Aggregated, responses: Sequence[Answered]) -> dict[str, Any]:
    """The places that more than half of the weight points to, or else the one that most does."""
    from amends.labelling import cluster_points

    points = [(who, point["x"], point["y"]) for who, one in enumerate(responses) for point in one.answer]
    places = cluster_points(points, [aggregated.weights.get(one.annotator_id, 1.0) for one in responses])
    shown = [place for place in places if place.support > 0.5] or places[:1]
    return {
        "answer": [_rounded(place.centre) for place in shown],
        "confidence": round(min(place.support for place in shown), 6),
        "agreement": None,
        "distribution": [
            {"answer": _rounded(place.centre), "share": round(place.support, 6), "votes": place.points}
            for place in places
        ],
    }


def _rounded(point: tuple[float, float]) -> dict[str, float]:
    return {"x": round(point[0], 6), "y": round(point[1], 6)}


def _pairs_alike(counts: Sequence[int]) -> float | None:
    whole = sum(counts)
    return None if whole < 2 else round(sum(each * (each - 1) for each in counts) / (whole * (whole - 1)), 6)
