"""The quantities of the upper bound on the gap (theory, section 7): identities, enumeration, missing mass."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_policy
from scipy.special import softmax

import banditlab as bl
from banditlab import partial_coverage

RNG = np.random.default_rng(3)
REFERENCE = np.log(RNG.dirichlet(np.ones(4), 3))
# Tabular, so that the one with missing mass shares its program.
ENV = bl.instances.tabular(RNG.standard_normal((3, 4)), REFERENCE, beta=0.7)
ENV = ENV.replace(context_probs=RNG.dirichlet(np.ones(3)))
POLICY = jnp.asarray(random_policy(4, (3, 4)))
OTHER = jnp.asarray(random_policy(5, (3, 4)))
# In the first context the second action has no reference mass.
MISSING = ENV.replace(
    log_reference=np.where(np.arange(12).reshape(3, 4) == 1, -np.inf, np.log([[1 / 3], [0.25], [0.25]]))
)
SPREAD = jnp.log(jnp.full((3, 4), 0.25))


@jax.jit
def measured(env, log_policy, log_sampler, reward):
    """Everything about a policy, a sampler and a reward table, in one program a shape."""
    gaps = partial_coverage.gaps(env, log_policy)
    return {
        "implicit": partial_coverage.implicit_reward(env, log_policy),
        "objective": partial_coverage.objective(env, log_policy),
        "best": partial_coverage.objective(env, env.log_target),
        "gaps": gaps,
        "gap": bl.metrics.gap(env, log_policy),
        "mean gap": partial_coverage.average(env, gaps),
        "largest gap": partial_coverage.worst(env, gaps),
        "errors": partial_coverage.squared_errors(env, log_sampler, reward),
        "error": partial_coverage.squared_error(env, log_sampler, reward),
        "least": partial_coverage.least_constant(env, log_sampler, log_policy),
        "radius": partial_coverage.ball_radius(env, log_policy),
        "ball": partial_coverage.ball_constant(env, log_policy),
        "divergences": [bl.metrics.kl_reference(env, table) for table in (log_policy, env.log_target)],
    }


def found(env, log_policy, log_sampler, reward=None):
    """`measured` as NumPy; the reward is the policy's own unless given."""
    if reward is None:
        reward = partial_coverage.implicit_reward(env, log_policy)
    tables = (jnp.asarray(np.asarray(table)) for table in (log_policy, log_sampler, reward))  # none weakly typed
    return jax.tree.map(np.asarray, measured(env, *tables))


def test_the_objective_is_its_definition_and_pi_star_its_maximiser():
    policy, reference, target = (np.exp(x) for x in (POLICY, ENV.log_reference, ENV.log_target))
    own = found(ENV, POLICY, OTHER)
    for probs, value in ((policy, own["objective"]), (target, own["best"])):
        inner = (probs * (np.asarray(ENV.reward) - 0.7 * np.log(probs / reference))).sum(1)
        assert value == pytest.approx(np.asarray(ENV.context_probs) @ inner, rel=1e-12)

    def of_logits(logits):
        return partial_coverage.objective(ENV, jax.nn.log_softmax(logits, axis=-1))

    np.testing.assert_allclose(jax.jit(jax.grad(of_logits))(ENV.log_target), 0.0, atol=1e-14)


def test_gaps_average_to_the_gap_and_are_differences_of_the_objective():
    own = found(ENV, POLICY, OTHER)
    assert own["mean gap"] == pytest.approx(own["gap"], rel=1e-12)
    assert own["mean gap"] == pytest.approx(own["best"] - own["objective"], rel=1e-12)
    assert own["largest gap"] == own["gaps"].max()


def test_the_squared_error_is_that_of_all_pairs_and_ignores_shifts():
    reward = np.random.default_rng(0).standard_normal((3, 4))
    rho, mu, truth = (np.asarray(x) for x in (ENV.context_probs, np.exp(OTHER), ENV.reward))
    error = (truth - reward)[:, :, None] - (truth - reward)[:, None, :]
    expected = np.einsum("xa,xb,xab->x", mu, mu, error**2)
    for table in (reward, reward + 1e3 * np.arange(3.0)[:, None]):
        own = found(ENV, POLICY, OTHER, table)
        np.testing.assert_allclose(own["errors"], expected, rtol=1e-10)
        assert own["error"] == pytest.approx(rho @ expected, rel=1e-10)


def test_the_implicit_reward_of_pi_star_has_no_error():
    np.testing.assert_allclose(found(ENV, ENV.log_target, OTHER)["errors"], 0.0, atol=1e-28)


def test_the_least_constant_is_the_largest_ratio_and_below_the_ball_and_the_global_one():
    target, policy, mu, reference = (np.exp(np.asarray(x)) for x in (ENV.log_target, POLICY, OTHER, ENV.log_reference))
    expected = max((target / mu).max(), (policy / mu).max())
    assert found(ENV, POLICY, OTHER)["least"] == pytest.approx(expected, rel=1e-12)
    own = found(ENV, POLICY, ENV.log_reference)
    assert own["least"] <= own["ball"] <= 1 / reference.min()
    assert own["radius"] == max(own["divergences"])


def test_mass_that_the_reference_lacks_is_infinite_and_never_nan():
    own = found(MISSING, SPREAD, MISSING.log_reference)
    assert np.argwhere(np.isposinf(own["implicit"])).tolist() == [[0, 1]]
    assert own["objective"] == -math.inf
    assert np.isposinf(own["gaps"]).tolist() == [True, False, False]
    assert own["least"] == own["radius"] == math.inf
    # The pairs of the reference never show the missing action; pairs that do find an infinite error.
    assert np.isfinite(own["error"])
    assert found(MISSING, SPREAD, SPREAD)["error"] == math.inf
    staying = found(MISSING, MISSING.log_reference, MISSING.log_reference)
    assert staying["implicit"][0, 1] == 0.0
    assert np.isfinite(staying["objective"])


def test_a_context_of_probability_zero_counts_for_nothing():
    env = MISSING.replace(context_probs=[0.0, 0.5, 0.5])
    own = found(env, SPREAD, env.log_reference)
    assert np.isfinite([own[name] for name in ("objective", "mean gap", "largest gap", "least")]).all()


def test_an_action_that_the_policy_never_plays_has_implicit_reward_minus_infinity():
    policy = jnp.broadcast_to(jnp.array([0.0, -jnp.inf, -jnp.inf, -jnp.inf]), (3, 4))
    own = found(MISSING, policy, MISSING.log_reference)
    assert own["implicit"][1, 1] == -math.inf
    assert np.isfinite(own["objective"])
    assert own["error"] == math.inf


def test_an_infinite_constant_bounds_nothing():
    bounds = partial_coverage.gap_bound(jnp.array([0.0, 2.0, 2.0]), jnp.array([jnp.inf, jnp.inf, 8.0]))
    np.testing.assert_array_equal(bounds, [math.inf, math.inf, 4.0])


def test_a_reward_of_bounded_span_stays_within_its_limits():
    span, beta = 2.0, 0.7
    rng = np.random.default_rng(1)
    reward = rng.uniform(0.0, span, (3, 4))
    divergence, ratio = partial_coverage.bounded_reward_limits(span, beta)
    policy = softmax(np.asarray(ENV.log_reference) + reward / beta, axis=1)
    reached = found(ENV, jnp.log(jnp.asarray(policy)), OTHER)["divergences"][0]
    assert reached <= float(divergence) == span / beta
    assert (policy / np.exp(ENV.log_reference)).max() <= float(ratio)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"log_policy must be \(3, 4\); got \(4,\)"):
        partial_coverage.objective(ENV, jnp.zeros(4))
    with pytest.raises(ValueError, match=r"log_sampler must be \(3, 4\); got \(4,\)"):
        partial_coverage.squared_errors(ENV, jnp.zeros(4), POLICY)
    with pytest.raises(ValueError, match=r"reward must be \(3, 4\); got \(4,\)"):
        partial_coverage.squared_errors(ENV, POLICY, jnp.zeros(4))
    with pytest.raises(ValueError, match="span must be non-negative and finite; got -1.0"):
        partial_coverage.bounded_reward_limits(-1.0, 1.0)
    with pytest.raises(ValueError, match="beta must be positive and finite; got 0.0"):
        partial_coverage.bounded_reward_limits(1.0, 0.0)
