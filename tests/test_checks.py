"""Checks pass where they should, can fail, and say how large an error they would catch."""

import math

import numpy as np
import pytest

from banditlab.claims import checks
from banditlab.claims.comparison import compare
from banditlab.store import Table


@pytest.mark.parametrize(
    "check",
    [
        checks.interval("c", 2.0, 2.03, 0.01),
        checks.interval("c", -2.0, -2.05, 0.01, allowance=0.02, why="O(1/n) remainder"),
        checks.interval("c", 2.0, 1.97, 0.01),
        checks.identity("c", 1e3, 1e3 + 1e-8, rtol=1e-10, why="rounding"),
        checks.upper("c", 2.0, 1.9, 0.01),
        checks.lower("c", 2.0, 2.1, 0.01),
        checks.lower("c", -2.0, -1.9),
    ],
)
def test_a_passing_check_fails_once_its_prediction_is_off_by_more_than_its_power(check):
    assert check.passed
    error = 1.001 * check.power  # just beyond the power, above the rounding of the comparison
    # A bound catches errors in the direction that tightens it; an interval catches both.
    harder = {(True, False): -1, (False, True): 1}.get((math.isinf(check.low), math.isinf(check.high)))
    signs = (1, -1) if harder is None else (harder * int(math.copysign(1, check.predicted)),)
    assert all(not check.plant(sign * error).passed for sign in signs)
    assert check.plant(0.0) == check


def test_interval_power_is_twice_its_half_width():
    check = checks.interval("c", 2.0, 2.0, 0.01, allowance=0.01, why="remainder")
    assert check.power == pytest.approx(2 * (4 * 0.01 + 0.01) / 2.0, rel=1e-12)
    assert "4 standard errors of 0.01" in check.tolerance_source
    assert "0.01: remainder" in check.tolerance_source


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nothing_that_is_not_finite_passes(bad):
    for make in (checks.interval, checks.upper, checks.lower):
        assert not make("c", bad, 1.0, 0.1).passed
        assert not make("c", 1.0, bad, 0.1).passed
        if bad != -math.inf:
            assert not make("c", 1.0, 1.0, bad).passed
    assert not checks.identity("c", bad, bad, rtol=1e-10, why="rounding").passed


def test_a_tolerance_needs_a_sign_and_a_reason():
    with pytest.raises(ValueError, match="why must say where the allowance comes from"):
        checks.interval("c", 1.0, 1.0, 0.1, allowance=0.1)
    with pytest.raises(ValueError, match="standard_error, z and allowance must be non-negative"):
        checks.upper("c", 1.0, 1.0, -0.1)


def test_a_difference_is_resolved_at_z_standard_errors_and_never_without_any():
    assert checks.above("c", 1.0, 1.4, 0.1).passed
    assert not checks.above("c", 1.0, 1.399, 0.1).passed
    assert checks.below("c", 1.0, 0.6, 0.1).passed
    assert not checks.below("c", 1.0, 0.601, 0.1).passed
    # Two arms that agree to the bit, or differ exactly: nothing was compared.
    for make, measured in ((checks.above, 1.0), (checks.above, 2.0), (checks.below, 1.0), (checks.below, 0.0)):
        assert not make("c", 1.0, measured, 0.0).passed


@pytest.mark.parametrize(
    ("cells", "difference", "kind"),
    [(2, 3.9, "statistical"), (2, 4.5, "different"), (1000, 4.5, "statistical"), (1000, 5.5, "different")],
)
def test_of_many_cells_one_may_differ_by_more(cells, difference, kind):
    """A false alarm of a whole table has probability 1e-4: 4 standard errors for 2 cells, 5.3 for 1000."""
    errors = np.full(cells, 0.1)
    first = {"n": np.arange(cells), "mean": np.ones(cells), "mean_se": errors}
    moved = np.ones(cells)
    moved[0] += difference * 0.1 * np.sqrt(2)
    assert compare(Table(first | {"mean": moved}), Table(first)).kind == kind


@pytest.mark.parametrize("error", [0.0, 1e-18])
def test_an_error_of_rounding_size_is_none(error):
    equal = {"mean": np.array([0.3, 1.0]), "mean_se": np.array([error, 0.1])}
    other = {"mean": np.array([0.3 * (1 + 1e-12), 1.1]), "mean_se": np.array([4e-17, 0.1])}
    found = compare(Table(equal), Table(other))
    assert (found.kind, round(found.deviation, 2)) == ("statistical", 0.71)
