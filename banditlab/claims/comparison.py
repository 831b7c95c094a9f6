"""How much fresh tables differ from committed ones."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from banditlab.claims.experiment import Tables, by_part
from banditlab.store import Table

# XLA orders the additions of a reduction by the machine's vector width, and another release compiles another
# order: n terms then differ by n units of the last place at most, 1e-10 at the sizes used here.
ROUNDING = 1e-9
Kind = Literal["bitwise", "within tolerance", "statistical", "different"]
# Of two computations with the same draws, in combined standard errors.
SAME = 0.5
KINDS: tuple[Kind, ...] = ("bitwise", "within tolerance", "statistical", "different")


@dataclass(frozen=True)
class Comparison:
    """The class of the largest difference, and a few words on it.

    Attributes:
      deviation: where it is "statistical", the largest difference in combined standard errors; else 0.
    """

    kind: Kind
    detail: str
    deviation: float = 0.0

    @property
    def same_draws(self) -> bool:
        """Whether only rounding can be between the two: the tables agree to it, or far within their noise.

        With other draws a cell differs by less than SAME combined standard errors with probability 0.38, and all K
        cells of a table do with 0.38^K: 5e-9 for 20 cells.
        """
        return self.kind in ("bitwise", "within tolerance") or (self.kind == "statistical" and self.deviation < SAME)


def compare(fresh: Tables, committed: Tables) -> Comparison:
    """Compare the tables of one experiment, part by part: the class of the part that differs most.

    Parts are compared as by `compare_tables`; other parts are different tables.
    """
    ours, theirs = by_part(fresh), by_part(committed)
    if list(ours) != list(theirs):
        names = sorted(set(ours) ^ set(theirs)) or "their order"
        return Comparison("different", f"parts differ: {names}")
    found = {part: compare_tables(ours[part], theirs[part]) for part in ours}
    worst = max(found, key=lambda part: (KINDS.index(found[part].kind), found[part].deviation))
    if found[worst].kind == "bitwise":
        return Comparison("bitwise", f"{sum(map(len, ours.values()))} rows")
    detail = f"{worst}: {found[worst].detail}" if worst else found[worst].detail
    return Comparison(found[worst].kind, detail, found[worst].deviation)


def compare_tables(fresh: Table, committed: Table) -> Comparison:
    """Compare two tables.

    "bitwise": the same CSV. "within tolerance": numbers differ by rounding, relatively by at most 1e-9.
    "statistical": so do all but the columns ``c`` with a standard error ``c_se``, and those differ by at most
    z combined standard errors (another release of JAX may draw other numbers from the same seeds); z is 4, or
    more where many cells are compared, so that a whole table raises a false alarm with probability 1e-4.
    "different": anything else.
    """
    if fresh.to_csv() == committed.to_csv():
        return Comparison("bitwise", f"{len(fresh)} rows")
    if list(fresh.columns) != list(committed.columns):
        names = sorted(set(fresh.columns) ^ set(committed.columns)) or "their order"
        return Comparison("different", f"columns differ: {names}")
    if len(fresh) != len(committed):
        return Comparison("different", f"{len(fresh)} rows against {len(committed)}")
    errors = {name: _relative(fresh[name], committed[name]) for name in fresh.columns}
    beyond = [name for name, error in errors.items() if error > ROUNDING]
    if not beyond:
        worst = max(errors, key=lambda name: errors[name])
        return Comparison("within tolerance", f"{worst} by {errors[worst]:.1e}, rounding allows {ROUNDING:g}")
    estimated = [name for name in fresh.columns if f"{name}_se" in fresh.columns]
    exact = [name for name in beyond if name not in estimated and name.removesuffix("_se") not in estimated]
    if exact:
        return Comparison("different", f"{exact[0]} by {errors[exact[0]]:.1e}, rounding allows {ROUNDING:g}")
    z = max(4.0, NormalDist().inv_cdf(1 - 1e-4 / (2 * len(estimated) * len(fresh))))
    sizes = {name: _standard_errors(fresh, committed, name) for name in estimated}
    worst = max(sizes, key=lambda name: sizes[name])
    detail = f"{worst} by {sizes[worst]:.1f} standard errors, {z:.1f} allowed"
    if sizes[worst] > z:
        return Comparison("different", detail)
    return Comparison("statistical", detail, sizes[worst])


def _relative(fresh: np.ndarray, committed: np.ndarray) -> float:
    """Largest relative difference; infinite where text, or one infinity and one number, differ."""
    if fresh.dtype.kind == "U" or committed.dtype.kind == "U":
        return 0.0 if fresh.tolist() == committed.tolist() else math.inf
    differ = fresh != committed
    first, second = fresh[differ].astype(float), committed[differ].astype(float)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return math.inf
    return float(np.max(np.abs(first - second) / np.maximum(np.abs(first), np.abs(second)), initial=0.0))


def _standard_errors(fresh: Table, committed: Table, name: str) -> float:
    """Largest difference of a column in combined standard errors; infinite when those differ fourfold."""
    # An error of rounding size is none: the draws agree.
    largest = np.maximum(np.abs(fresh[name]), np.abs(committed[name]))
    first, second = (
        np.where(error <= ROUNDING * largest, 0.0, error) for error in (fresh[f"{name}_se"], committed[f"{name}_se"])
    )
    # The standard error of a quantile over 256 seeds is itself known to about 25%: a factor of four cannot be
    # chance, and an error that had grown by more would excuse any difference.
    if np.any((first > 4 * second) | (second > 4 * first)):
        return math.inf
    # Exact rows, of standard error zero, may differ by rounding.
    differ = ~np.isclose(fresh[name], committed[name], rtol=ROUNDING, atol=0.0)
    combined = np.sqrt(np.square(first[differ]) + np.square(second[differ]))
    difference = np.abs(fresh[name][differ] - committed[name][differ])
    if not (np.isfinite(difference).all() and np.isfinite(combined).all() and np.all(combined > 0)):
        return math.inf
    return float(np.max(difference / combined, initial=0.0))
