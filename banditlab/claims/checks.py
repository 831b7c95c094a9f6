"""Checks: a prediction, a measurement, and the interval that the measurement must fall into.

Each check knows its power: the relative error of the predicted constant beyond which it is sure to fail. For
an interval of half-width w = z * standard_error + allowance around the prediction p, a measurement m that
passes has |m - p| <= w; had the prediction been p' with |p' - p| > 2 w, then |m - p'| > w and the check would
have failed. So the power is 2 w / |p|. For a bound it is the slack left: (limit - measured) / |bound|.
"""

import math
from dataclasses import dataclass, replace

# A two-sided check that cannot tell a relative error of this size in its prediction says little.
WEAK = 0.05


@dataclass(frozen=True)
class Check:
    """One comparison of theory and measurement.

    Attributes:
      claim: what is compared, in words.
      predicted, measured: the two numbers; the check fails when either is not finite.
      low, high: the closed interval for ``measured``; one end is infinite for a bound.
      passed: whether it holds.
      tolerance_source: where the width of the interval comes from.
      noise: the part of the interval's width that is standard errors of the measurement, on either side.
    """

    claim: str
    predicted: float
    measured: float
    low: float
    high: float
    passed: bool
    tolerance_source: str
    noise: float = 0.0

    @property
    def weak(self) -> bool:
        """Whether noise, and nothing else, keeps this check from telling.

        A two-sided check that passed, and would have with a prediction wrong by WEAK; or one that failed to show a
        difference of more than its noise, while the measurement is no further than that on the wrong side.
        """
        if self.passed:
            bounded = math.isfinite(self.low) and math.isfinite(self.high) and self.predicted
            return bool(bounded and 2 * self.noise > WEAK * abs(self.predicted) and self.power > WEAK)
        # Bounds of `above` and `below` lie beyond the number that they compare with.
        wanted = self.low > self.predicted if math.isinf(self.high) else self.high < self.predicted
        return bool(wanted and abs(self.measured - self.predicted) <= self.noise)

    @property
    def power(self) -> float:
        """Relative error of ``predicted`` beyond which this check, having passed, is sure to fail."""
        if math.isinf(self.low):
            distance = self.high - self.measured
        elif math.isinf(self.high):
            distance = self.measured - self.low
        else:
            distance = self.high - self.low
        return distance / abs(self.predicted) if self.predicted else math.inf

    def plant(self, relative_error: float) -> "Check":
        """The same check with its prediction times 1 + ``relative_error``; for tests of the checks."""
        shift = self.predicted * relative_error
        moved = replace(self, predicted=self.predicted + shift, low=self.low + shift, high=self.high + shift)
        return replace(moved, passed=_holds(moved))


def interval(
    claim: str,
    predicted: float,
    measured: float,
    standard_error: float,
    *,
    z: float = 4.0,
    allowance: float = 0.0,
    why: str = "",
) -> Check:
    """Passes iff |measured - predicted| <= z * standard_error + allowance.

    Args:
      standard_error: of ``measured``; z = 4 makes a false alarm rarer than 1e-4.
      allowance: known difference that is not noise, e.g. an O(1/n) remainder; ``why`` must then say which.
    Raises ValueError for a negative width or an allowance without its reason.
    """
    width, source = _width(standard_error, z, allowance, why)
    return _check(claim, predicted, measured, predicted - width, predicted + width, source, z * standard_error)


def upper(
    claim: str,
    bound: float,
    measured: float,
    standard_error: float = 0.0,
    *,
    z: float = 4.0,
    allowance: float = 0.0,
    why: str = "",
) -> Check:
    """Passes iff measured <= bound + z * standard_error + allowance; arguments as in `interval`."""
    width, source = _width(standard_error, z, allowance, why)
    return _check(claim, bound, measured, -math.inf, bound + width, source, z * standard_error)


def lower(
    claim: str,
    bound: float,
    measured: float,
    standard_error: float = 0.0,
    *,
    z: float = 4.0,
    allowance: float = 0.0,
    why: str = "",
) -> Check:
    """Passes iff measured >= bound - z * standard_error - allowance; arguments as in `interval`."""
    width, source = _width(standard_error, z, allowance, why)
    return _check(claim, bound, measured, bound - width, math.inf, source, z * standard_error)


def below(claim: str, bound: float, measured: float, standard_error: float, *, z: float = 4.0, why: str = "") -> Check:
    """Passes iff measured <= bound - z * standard_error: the difference is resolved. ``why`` says what z is worth.

    Fails where the standard error is zero, as between two arms that agree to the bit: nothing was compared then.
    """
    width, source = _resolved(standard_error, z, why)
    return _check(claim, bound, measured, -math.inf, bound - width, source, width)


def above(claim: str, bound: float, measured: float, standard_error: float, *, z: float = 4.0, why: str = "") -> Check:
    """Passes iff measured >= bound + z * standard_error; otherwise as `below`."""
    width, source = _resolved(standard_error, z, why)
    return _check(claim, bound, measured, bound + width, math.inf, source, width)


def identity(claim: str, predicted: float, measured: float, *, why: str, rtol: float = 0.0, atol: float = 0.0) -> Check:
    """Passes iff |measured - predicted| <= atol + rtol |predicted|; ``why`` says where these come from."""
    width, source = _width(0.0, 0.0, atol + rtol * abs(predicted), why)
    return _check(claim, predicted, measured, predicted - width, predicted + width, source, 0.0)


def _resolved(standard_error: float, z: float, why: str) -> tuple[float, str]:
    width, source = _width(standard_error, z, 0.0, "")
    return (width if width > 0 else math.nan), f"{source}: {why}" if why else source


def _width(standard_error: float, z: float, allowance: float, why: str) -> tuple[float, str]:
    if standard_error < 0 or z < 0 or allowance < 0:  # nan goes on, into a check that fails
        got = f"{standard_error}, {z}, {allowance}"
        raise ValueError(f"standard_error, z and allowance must be non-negative; got {got}")
    if allowance > 0 and not why:
        raise ValueError(f"why must say where the allowance comes from; got none for {allowance}")
    parts = [f"{z:g} standard errors of {standard_error:.3g}"] if standard_error else []
    parts += [f"{allowance:.3g}: {why}"] if allowance else [why or "no tolerance"] if not parts else []
    return float(z * standard_error + allowance), " + ".join(parts)


def _check(claim: str, predicted: float, measured: float, low: float, high: float, source: str, noise: float) -> Check:
    numbers = (float(predicted), float(measured), float(low), float(high))
    check = Check(claim, *numbers, passed=False, tolerance_source=source, noise=float(noise))
    return replace(check, passed=_holds(check))


def _holds(check: Check) -> bool:
    finite = math.isfinite(check.predicted) and math.isfinite(check.measured)
    # An infinite standard error would accept anything: a two-sided interval must be bounded.
    bounded = math.isfinite(check.low) or math.isfinite(check.high)
    return finite and bounded and check.low <= check.measured <= check.high
