"""Which methods are compared, on which problems, and where along the peaks the winner changes."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# A loss with a negative gradient and the likelihood that reads the same: the batch's best, the pairs, the rewards.
RIVALS = (
    ("best_of_n_negative", "best_of_n"),
    ("ipo", "best_of_n"),
    ("dpo", "pref_ft"),
    ("ipo", "pref_ft"),
    ("best_of_n_negative", "rwr"),
    ("dpo", "rwr"),
    ("ipo", "rwr"),
)
# Which of them lose to RWR where the peak is rare but not near the mode; IPO with its tuned target loses on both.
CROSSING = ("best_of_n_negative", "dpo")
SQUARE = (("best_of_n_negative", "best_of_n"), ("dpo", "pref_ft"), ("ipo", "pref_ft"))
R1, R2, WIDTH = 70.0, 20.0, 10.0


def crossings(along: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float]]:
    """Where the margins' sign changes: (interpolated peak, the peaks on either side), from rows in order of peaks.

    A margin within 4 standard errors of zero has no sign: its peak does not bracket, but serves to interpolate.
    """
    sure = [k for k, row in enumerate(along) if abs(row["reward"]) > 4 * row["reward_se"]]
    found = []
    for start, end in pairwise(sure):
        if along[start]["reward"] * along[end]["reward"] < 0:
            inside = pairwise(along[start : end + 1])
            left, right = next((a, b) for a, b in inside if (a["reward"] > 0) != (b["reward"] > 0))
            share = left["reward"] / (left["reward"] - right["reward"])
            zero = left["peak"] + share * (right["peak"] - left["peak"])
            found.append((zero, along[start]["peak"], along[end]["peak"]))
    return found
