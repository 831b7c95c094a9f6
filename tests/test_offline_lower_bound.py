"""Proposition 5's prior and bound, what the offline estimators should do at many labels, and the checks on them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit, lambertw
from tables import committed, failing

import banditlab as bl
from banditlab import coverage, policies
from banditlab.estimators import chi_po
from experiments.coverage.offline_lower_bound import laws, runs

CHAIN = bl.instances.chain(target=0.5, start=-1.0)
STAIRCASE = bl.instances.staircase(3, 0.5, 1.0)
RADIUS = 0.5


def _density(w):
    return math.cos(math.pi * w / (2 * RADIUS)) ** 2 / RADIUS


def test_the_prior_has_the_density_variance_and_information_of_the_proposition():
    drawn = laws.draw_prior(CHAIN, RADIUS, 40_000, np.random.default_rng(0))
    root = math.sqrt(float(coverage.target_covariance(CHAIN)[0, 0]))
    w = root * (drawn[:, 0] - 0.5)
    assert np.abs(w).max() <= RADIUS
    cuts = np.linspace(-RADIUS, RADIUS, 9)
    expected = [quad(_density, -RADIUS, cut)[0] for cut in cuts]
    measured = np.searchsorted(np.sort(w), cuts) / len(w)
    np.testing.assert_allclose(measured, expected, atol=4 * 0.5 / math.sqrt(len(w)))
    variance = quad(lambda x: x**2 * _density(x), -RADIUS, RADIUS)[0]
    assert variance == pytest.approx(RADIUS**2 * (1 / 3 - 2 / math.pi**2))
    tuned = runs.tuning(CHAIN, RADIUS, 1.0, 1.0, 1.0)
    assert float(tuned.prior_ridge) == pytest.approx(root**2 / variance)
    assert float(tuned.max_norm) == pytest.approx(0.5 + RADIUS / root)
    # The prior's own information, 4 int (sqrt p)'^2: the term of the bound that no label gives.
    information = quad(
        lambda x: (math.pi * math.sin(math.pi * x / (2 * RADIUS)) / RADIUS) ** 2 / RADIUS, -RADIUS, RADIUS
    )
    assert information[0] == pytest.approx((math.pi / RADIUS) ** 2)


def test_the_axes_of_the_box_make_the_bound_a_sum_over_coordinates():
    axes = laws.box_axes(STAIRCASE)
    target = np.asarray(coverage.target_covariance(STAIRCASE))
    initial = np.asarray(policies.feature_covariance(STAIRCASE, STAIRCASE.log_initial))
    np.testing.assert_allclose(axes @ target @ axes.T, np.eye(3), atol=1e-12)
    shares = axes @ initial @ axes.T  # 1/c_i on the diagonal
    np.testing.assert_allclose(shares, np.diag(np.diagonal(shares)), atol=1e-12)
    for num_pairs in (10, 1000):
        bound = (1 / (num_pairs * np.diagonal(shares) / 2 + (math.pi / RADIUS) ** 2)).sum()
        assert float(bl.theory.offline_lower_bound(STAIRCASE, num_pairs, RADIUS)) == pytest.approx(bound, rel=1e-10)


def test_on_the_chain_the_pessimistic_price_adds_the_width_squared_over_the_moment():
    moment = 2 * expit(-1.0) * expit(1.0)
    spread = expit(0.5) * expit(-0.5)
    price = float(bl.theory.label_price(CHAIN, bl.samplers.initial(CHAIN, CHAIN.log_initial)))
    assert laws.pessimistic_price(CHAIN, 2.0) == pytest.approx(price + 4 * spread / moment, rel=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_on_the_chain_the_bias_of_chi_po_is_that_of_a_scalar_equation(temperature):
    """Ratios z = W(e^{(r - lambda)/b}) at rewards 0 and 1/2 that average to one; theta_chi is their log-ratio."""

    def ratios(multiplier):
        return lambertw(np.exp((np.array([0.0, 0.5]) - multiplier) / temperature)).real

    root = brentq(lambda multiplier: ratios(multiplier).mean() - 1, -5.0, 5.0, xtol=1e-15)
    bias = math.log(ratios(root)[1] / ratios(root)[0]) - 0.5
    expected = expit(0.5) * expit(-0.5) * bias**2
    assert laws.chi_po_limit(CHAIN, temperature) == pytest.approx(expected, rel=1e-10)


def test_the_population_estimates_are_the_target_the_shrunk_target_and_the_nearest_softmax():
    """With the outcome law times 1e10 as win matrix nothing is random."""
    law = bl.preferences.outcome_law(STAIRCASE, bl.samplers.initial(STAIRCASE, STAIRCASE.log_initial))
    tuned = runs.tuning(STAIRCASE, RADIUS, 1.0, 1.0, 1.0)
    found, failures = runs.estimates(STAIRCASE, 1e10 * law[None], tuned)
    assert not any(failures.values())
    target = jnp.asarray(STAIRCASE.target_params)
    for name in ("mle", "ridge", "prior_ridge"):
        np.testing.assert_allclose(found[name][0], target, atol=1e-6)
    errors = {k: float(runs.squared_error(STAIRCASE, v, target[None])[0]) for k, v in found.items()}
    price = laws.pessimistic_price(STAIRCASE, 1.0)
    price -= float(bl.theory.label_price(STAIRCASE, bl.samplers.initial(STAIRCASE, STAIRCASE.log_initial)))
    assert 1e10 * errors["pessimistic"] == pytest.approx(price, rel=1e-3)
    assert errors["chi_po"] == pytest.approx(laws.chi_po_limit(STAIRCASE, 1.0), rel=1e-5)
    # Nearest in KL(pi_chi||.) means: the same mean features.
    log_policy = chi_po.policy(STAIRCASE, STAIRCASE.reward, 1.0)
    nearest = STAIRCASE.log_policy(found["chi_po"][0])
    means = [policies.mean_features(STAIRCASE, table) for table in (log_policy, nearest)]
    np.testing.assert_allclose(*means, atol=1e-6)


def test_the_price_under_the_prior_is_the_label_price_at_its_centre():
    target = jnp.asarray(STAIRCASE.target_params)[None]
    price = bl.theory.label_price(STAIRCASE, bl.samplers.initial(STAIRCASE, STAIRCASE.log_initial))
    np.testing.assert_allclose(laws.prices(STAIRCASE, target), price, rtol=1e-12)


def test_a_learner_that_knows_something_of_the_target_is_caught():
    """It averages theta_hat with theta*: a quarter of the error of the honest one."""
    table = committed("offline_lower_bound")["bayes_risk"]
    scale = np.where(table["estimator"] == "prior_ridge", 0.25, 1.0)
    changed = {name: scale * table[name] for name in ("risk", "risk_se")}
    claims = failing("offline_lower_bound", "bayes_risk", **changed)
    assert claims
    assert all("Bayes risk" in claim and "prior_ridge" in claim for claim in claims)
    assert len(claims) == len(set(table["instance"].tolist()))


def test_a_bound_without_its_prior_term_is_caught():
    """sum 2 c_i/(N beta^2) alone is no bound at few labels: the prior's ridge beats it."""
    table = committed("offline_lower_bound")["bayes_risk"]
    wrong = table["bound"].copy()
    for instance in set(table["instance"].tolist()):
        env = runs.INSTANCES[instance]()
        for row in np.flatnonzero(table["instance"] == instance):
            wrong[row] = float(bl.theory.offline_lower_bound(env, table["num_pairs"][row], 1e9))
    assert any("prior_ridge" in claim for claim in failing("offline_lower_bound", "bayes_risk", bound=wrong))


@pytest.mark.parametrize(
    ("part", "column", "words"),
    [
        ("margins", "margins_off", "margins differ"),
        ("bayes_risk", "failed", "did not converge"),
        ("price_ratio", "failed", "did not converge"),
    ],
)
def test_one_failure_is_caught(part, column, words):
    count = committed("offline_lower_bound")[part][column].copy()
    count[0] = 1
    (claim,) = failing("offline_lower_bound", part, **{column: count})
    assert words in claim


def test_the_draws_differ_between_settings_and_are_the_same_twice():
    keys = jax.random.split(jax.random.key(0), 4)
    targets = jnp.broadcast_to(jnp.asarray(CHAIN.target_params), (4, 1))
    first, again = (runs.draw(CHAIN, keys, targets, jnp.float64(50.0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({float(wins[0, 0, 1]) for wins in first}) > 1
    np.testing.assert_array_equal(first.sum(axis=(1, 2, 3)), 50.0)
