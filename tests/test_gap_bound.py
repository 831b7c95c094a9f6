"""gap_bound, reward_accuracy, coverage_functions: their closed forms hold, and their checks can fail."""

import math

import numpy as np
import pytest
import tables
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from banditlab.exact import gap_bound_cases
from banditlab.exact.accurate_bad_policy import predicted, slope_remainder
from banditlab.exact.bounded_reward import largest_divergence
from banditlab.exact.kl_ball import enclosure
from experiments.partial_coverage.gap_bound import exact_cases
from experiments.partial_coverage.gap_bound.runs import OWN


def moved(table, column, factor, **equal):
    """The column with the rows in question multiplied."""
    rows = np.all([table[key] == value for key, value in equal.items()], axis=0)
    assert rows.any()
    return np.where(rows, table[column] * factor, table[column])


# gap_bound


def test_a_ratio_above_one_is_caught_for_every_kind_of_policy():
    ratios = tables.committed("gap_bound")["ratios"]
    for kind, constant in OWN.items():
        worst = ratios.where(policy=kind, constant=constant, level=1.0)["ratio"][0]
        changed = moved(ratios, "ratio", 1.001 / worst, policy=kind, constant=constant, level=1.0)
        (claim,) = tables.failing("gap_bound", "ratios", ratio=changed)
        assert claim.startswith(f"{kind}: largest gap over")


def test_a_gap_that_is_not_the_divergence_is_caught():
    identity = tables.committed("gap_bound")["identity"]
    changed = moved(identity, "difference", 1 + 1e-8, policy="hypo")
    (claim,) = tables.failing("gap_bound", "identity", difference=changed)
    assert claim.startswith("hypo: mean of J* - J")


def test_a_mean_that_does_not_hide_the_uncovered_context_is_caught():
    contexts = tables.committed("gap_bound")["contexts"]
    changed = moved(contexts, "mean_gap", 2.0, contexts=2.0, mass=1e-6)
    (claim,) = tables.failing("gap_bound", "contexts", mean_gap=changed)
    assert "mean gap" in claim


@pytest.mark.parametrize("constant", [2.0, 50.0])
def test_the_sharp_family_needs_its_constant(constant):
    """By NumPy alone: gap / sqrt(C eps) of the family, from its three masses, rises to 1."""
    ratios = []
    for row in exact_cases.sharp((5.0, 20.0, 100.0), (constant,)):
        x = row["reward_gap"]
        share = 1 / constant
        mu = np.array([share, share, 1 - 2 * share])
        pi_star = log_softmax([x, 0.0, 0.0] if constant > 2 else [x, 0.0])
        weights = [0.0, math.log(x)] + [0.5 * math.log(x) - x / 2] * (constant > 2)
        pi = log_softmax(weights)
        mu = mu[: len(pi)]
        error = pi_star - pi
        variance = mu @ error**2 - (mu @ error) ** 2
        least = max(np.exp(pi_star - np.log(mu)).max(), np.exp(pi - np.log(mu)).max())
        ratio = np.exp(pi) @ (pi - pi_star) / math.sqrt(2 * least * variance)
        assert row["ratio"] == pytest.approx(ratio, rel=1e-10)
        assert row["predicted"] == pytest.approx(ratio, rel=1e-10)
        ratios.append(ratio)
        assert 0 < 1 - ratio <= gap_bound_cases.sharp_shortfall(x)
    assert ratios == sorted(ratios)
    assert 0.9 < ratios[-1] < 1.0


def test_the_ratio_of_a_small_ball_is_as_exact_as_its_radius():
    for row in exact_cases.small_balls((0.03, 1e-4)):
        rtol = gap_bound_cases.small_ball_rounding(row["mass"]) + 1e-12
        assert rtol < 1e-5
        assert row["ratio"] == pytest.approx(row["predicted"], rel=rtol)
        assert row["predicted"] > 1


# reward_accuracy


def test_the_remainder_of_the_slope_bounds_what_the_closed_form_leaves():
    for beta in (0.1, 1.0, 3.0):
        for reward in (-1.0, 0.0, 0.3, 1.0):
            for mass in 10.0 ** -np.arange(1.0, 9.0):
                near, far = (predicted(beta, reward, m)[0] for m in (mass, mass / 10))
                left = abs(far - near - 0.5 * beta * math.log(10))
                assert left <= slope_remainder(beta, reward, mass) + 1e-13


def test_the_closed_forms_are_those_of_the_two_masses():
    beta, reward, mass = 0.4, 0.8, 0.03
    reference = np.array([1 - mass, mass])
    target = softmax(np.log(reference) + np.array([0.0, reward]) / beta)
    gap = beta * (0.5 * np.log(0.5 / target)).sum()
    implicit = beta * np.log(0.5 / reference)
    error = 2 * mass * (1 - mass) * (reward - (implicit[1] - implicit[0])) ** 2
    constant = max((target / reference).max(), (0.5 / reference).max())
    expected = (gap, error, math.sqrt(constant * error))
    np.testing.assert_allclose(predicted(beta, reward, mass), expected, rtol=1e-12)


def test_a_finite_objective_without_any_mass_is_caught():
    table = tables.committed("reward_accuracy")
    changed = np.where(table["mass"] == 0, -1e300, table["objective"])
    (claim,) = tables.failing("reward_accuracy", objective=changed)
    assert "J = -inf" in claim


# coverage_functions


@pytest.mark.parametrize("radius", [0.01, 0.3])
def test_no_policy_of_the_simplex_in_the_ball_has_a_larger_ratio(radius):
    """A general optimiser over both contexts' simplices: it knows neither tilting nor the one-dimensional root."""
    rng = np.random.default_rng(2)
    reference, rho = rng.dirichlet(np.ones(3) * 2, 2), np.array([0.3, 0.7])

    def slack(x):
        pi = x.reshape(2, 3)
        return radius - rho @ (pi * np.log(pi / reference)).sum(1)

    sums = {"type": "eq", "fun": lambda x: x.reshape(2, 3).sum(1) - 1}
    best = 0.0
    for place in range(6):
        found = minimize(
            lambda x, place=place: -x[place] / reference.ravel()[place],
            reference.ravel(),
            method="SLSQP",
            bounds=[(1e-9, 1.0)] * 6,
            constraints=[sums, {"type": "ineq", "fun": slack}],
            options={"ftol": 1e-12, "maxiter": 200},
        )
        best = max(best, -found.fun)
    low, high = enclosure(reference, rho, radius)
    assert best == pytest.approx(float(low), rel=1e-5)
    assert float(high) == pytest.approx(float(low), rel=1e-10)


def test_the_largest_divergence_of_a_span_is_that_of_a_search():
    """Over references and rewards of three actions, by a general optimiser from several starts."""
    rng = np.random.default_rng(3)
    for span in (0.5, 4.0):

        def negative(x, span=span):
            reference, reward = log_softmax(x[:3]), span * (0.5 + 0.5 * np.sin(x[3:]))
            pi = log_softmax(reference + reward)
            return -np.exp(pi) @ (pi - reference)

        best = -min(minimize(negative, rng.standard_normal(6)).fun for _ in range(6))
        exact = largest_divergence(span)
        assert best == pytest.approx(exact, rel=1e-6)
        assert exact < min(span, span**2 / 8)


def test_a_ball_that_is_too_large_or_a_reward_that_leaves_it_is_caught():
    curve, spans = (tables.committed("coverage_functions")[part] for part in ("two_actions", "spans"))
    larger = moved(curve, "coverage", 1.05, radius=0.01, mass=1e-4)
    (claim,) = tables.failing("coverage_functions", "two_actions", coverage=larger)
    assert claim.startswith("two actions: C_kl(e) enclosed")
    claims = tables.failing("coverage_functions", "spans", divergence=moved(spans, "divergence", 1.05, span=0.1))
    assert len(claims) == 1
    assert "c - 1 - log c" in claims[0]
    (claim,) = tables.failing("coverage_functions", "spans", ratio=moved(spans, "ratio", 1.05, span=1.0))
    assert "e^(s/beta)" in claim


def test_the_enclosure_knows_zero_masses_and_zero_contexts():
    reference = np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0]])
    for radius, expected in ((0.0, 1.0), (math.inf, 2.0)):
        ends = enclosure(reference, np.array([1.0, 0.0]), radius)
        np.testing.assert_allclose(ends, expected, rtol=1e-12)
