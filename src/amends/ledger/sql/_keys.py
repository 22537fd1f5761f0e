"""An item's key is its run's number and its seq in one integer."""

from __future__ import annotations

SEQ_BITS = 32
SEQ_MASK = (1 << SEQ_BITS) - 1


def first_key(run_no: int) -> int:
    return run_no << SEQ_BITS


def last_key(run_no: int) -> int:
    return (run_no << SEQ_BITS) | SEQ_MASK


def key_of(run_no: int, seq: int) -> int:
    """Seq -1 gives the key before the run's first."""
    return (run_no << SEQ_BITS) + seq


def seq_of(key: int) -> int:
    return key & SEQ_MASK


def contiguous(seqs: list[int]) -> list[tuple[int, int]]:
    """The ascending seqs as inclusive ranges: [0, 1, 2, 5] → [(0, 2), (5, 5)]."""
    if not seqs:
        return []
    if seqs[-1] - seqs[0] + 1 == len(seqs):
        return [(seqs[0], seqs[-1])]
    ranges = []
    lo = previous = seqs[0]
    for seq in seqs[1:]:
        if seq != previous + 1:
            ranges.append((lo, previous))
            lo = seq
        previous = seq
    ranges.append((lo, previous))
    return ranges


def gaps(lo: int, hi: int, taken: list[int]) -> list[tuple[int, int]]:
    """What of lo … hi the ascending ``taken`` leave, as inclusive ranges."""
    left = []
    for seq in taken:
        if seq > lo:
            left.append((lo, seq - 1))
        lo = seq + 1
    if lo <= hi:
        left.append((lo, hi))
    return left
