"""Samplers are pair laws: of mass one, with the closed forms that their definitions and docs/theory.md give them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from random_environments import random_environment, random_policy

import banditlab as bl
from banditlab import samplers
from banditlab.samplers import plug_in, tilted

POLICIES = ("initial", "uniform", "on_policy", "policy_reference", "mix_r", "mix_p", "pilaf", "pilaf_weighted")
SOLVED = ("reweighted", "reweighted_conditional", "plug_in_oracle", "oracle", "oracle_conditional")
FREE = ("greedy_leverage", "reweighted", "plug_in_oracle", "oracle")
ENV = random_environment(0, beta=0.9)
POLICY = jnp.asarray(random_policy(3, (3, 4)))
HALF = Partial(samplers.two_stage, 0.5)


@jax.jit
def cheap_laws(env, log_policy):
    """Every sampler that solves no design, in one compilation."""
    laws = {name: getattr(samplers, name)(env, log_policy) for name in (*POLICIES, "greedy_leverage")}
    return laws | {"two_stage": HALF(env, log_policy)}


def _solving(name):
    sampler = getattr(samplers, name)
    if callable(sampler):
        return jax.jit(sampler)
    return jax.jit(lambda env, log_policy: samplers.prepare(sampler, env)(env, log_policy))


# One compilation each.
SOLVE = {name: _solving(name) for name in SOLVED}


@pytest.fixture(scope="module")
def laws():
    """name -> law at pi*, of all samplers."""
    return cheap_laws(ENV, ENV.log_target) | {name: solve(ENV, ENV.log_target) for name, solve in SOLVE.items()}


def gaps(table):
    table = np.asarray(table)
    return table[:, :, None] - table[:, None, :]


def label_variance(table):
    return 1 / (2 + np.exp(gaps(table)) + np.exp(-gaps(table)))


def normalised(weights, env):
    return np.asarray(env.context_probs)[:, None, None] * weights / weights.sum(axis=(1, 2), keepdims=True)


def test_every_law_has_mass_one_and_no_negative_entry(laws):
    for name, law in (laws | cheap_laws(ENV, POLICY)).items():
        assert law.shape == (3, 4, 4), name
        assert np.asarray(law).min() >= 0, name
        assert abs(float(law.sum()) - 1) < 1e-12, name


def test_prompts_come_from_rho_but_for_designs_of_free_prompts(laws):
    for name, law in laws.items():
        if name not in FREE:
            np.testing.assert_allclose(law.sum(axis=(1, 2)), ENV.context_probs, atol=1e-12, err_msg=name)


def test_every_name_is_exported():
    assert {*POLICIES, *SOLVED, "greedy_leverage", "two_stage"} <= set(samplers.__all__)


def test_xpo_pairs_are_the_product_of_policy_and_reference(laws):
    product = np.einsum("x,xi,xj->xij", ENV.context_probs, np.exp(ENV.log_target), np.exp(ENV.log_reference))
    np.testing.assert_allclose(laws["policy_reference"], product, rtol=1e-12)


def test_two_stage_runs_from_offline_to_on_policy():
    ends = samplers.initial(ENV, POLICY), samplers.on_policy(ENV, POLICY)
    for fraction in (0.0, 0.25, 1.0):
        expected = (1 - fraction) * ends[0] + fraction * ends[1]
        np.testing.assert_allclose(samplers.two_stage(fraction, ENV, POLICY), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("fraction", "words"), [(1.5, "at most 1; got 1.5"), (-0.1, "fraction"), (float("nan"), "fraction")]
)
def test_a_fraction_outside_the_unit_interval_is_refused(fraction, words):
    with pytest.raises(ValueError, match=words):
        samplers.two_stage(fraction, ENV, POLICY)


def test_mix_r_draws_pairs_in_proportion_to_the_inverse_variance_of_their_label(laws):
    np.testing.assert_allclose(laws["mix_r"], normalised(1 / label_variance(ENV.reward), ENV), rtol=1e-12)


def test_mix_p_uses_the_implicit_reward_and_is_mix_r_at_the_target(laws):
    ratio = ENV.beta * (POLICY - ENV.log_reference)
    expected = normalised(1 / label_variance(ratio), ENV)
    np.testing.assert_allclose(cheap_laws(ENV, POLICY)["mix_p"], expected, rtol=1e-12)
    np.testing.assert_allclose(laws["mix_p"], laws["mix_r"], rtol=1e-12)


def test_mix_p_is_uniform_at_the_reference_and_at_temperature_zero():
    uniform = samplers.uniform(ENV, POLICY)
    np.testing.assert_allclose(cheap_laws(ENV, ENV.log_reference)["mix_p"], uniform, rtol=1e-12)
    cold = ENV.replace(beta=1e-9)
    np.testing.assert_allclose(cheap_laws(cold, POLICY)["mix_p"], uniform, rtol=1e-7)


def test_pilaf_is_on_policy_at_the_reference_and_half_interpolated_elsewhere():
    at_reference = cheap_laws(ENV, ENV.log_reference)
    for name in ("pilaf", "pilaf_weighted"):
        np.testing.assert_allclose(at_reference[name], at_reference["on_policy"], rtol=1e-12)
    ratio = np.asarray(POLICY - ENV.log_reference)
    up, down = (np.exp(POLICY + sign * float(ENV.beta) * ratio) for sign in (1, -1))
    crossed = np.einsum("xi,xj->xij", up, down)
    expected = 0.5 * samplers.on_policy(ENV, POLICY) + 0.5 * normalised(crossed + crossed.swapaxes(1, 2), ENV)
    np.testing.assert_allclose(cheap_laws(ENV, POLICY)["pilaf"], expected, rtol=1e-12)


def test_pilaf_weighted_is_the_on_policy_law_over_the_variance_of_the_label():
    ratio = ENV.beta * (POLICY - ENV.log_reference)
    pairs = np.exp(POLICY)[:, :, None] * np.exp(POLICY)[:, None, :]
    expected = normalised(pairs / label_variance(ratio), ENV)
    np.testing.assert_allclose(cheap_laws(ENV, POLICY)["pilaf_weighted"], expected, rtol=1e-12)


def test_information_of_weighted_pilaf_at_the_target_is_that_of_least_squares(laws):
    # H = beta^2 E_x[Cov_pi* phi / (1 + Z+ Z-)], Z± = E_pi* e^{±r*}.
    target, features = np.exp(ENV.log_target), np.asarray(ENV.features)
    masses = [np.einsum("xa,xa->x", target, np.exp(sign * np.asarray(ENV.reward))) for sign in (1, -1)]
    centred = features - np.einsum("xa,xad->xd", target, features)[:, None]
    weights = ENV.context_probs / (1 + masses[0] * masses[1])
    expected = ENV.beta**2 * np.einsum("x,xa,xai,xaj->ij", weights, target, centred, centred)
    np.testing.assert_allclose(bl.theory.fisher_information(ENV, laws["pilaf_weighted"]), expected, rtol=1e-10)


def test_label_price_of_weighted_pilaf_with_one_prompt_is_d_times_one_plus_the_masses():
    env = bl.instances.staircase(3, step=0.7, start=1.0)
    target = np.exp(env.log_target)
    masses = np.prod([(target * np.exp(sign * np.asarray(env.reward))).sum() for sign in (1, -1)])
    law = samplers.pilaf_weighted(env, env.log_target)
    assert float(bl.theory.label_price(env, law)) == pytest.approx(3 * (1 + masses) / float(env.beta) ** 2, rel=1e-10)


def test_gradient_of_dpo_on_weighted_pilaf_pairs_is_that_of_the_objective_to_second_order():
    env = bl.instances.tabular([[0.3, -0.4, 0.9]], np.log([[0.5, 0.3, 0.2]]), beta=0.8)
    direction = jnp.asarray([0.7, -0.2, 0.4])

    def loss(params, outcomes):
        ratio = env.beta * (env.log_policy(params) - env.log_reference)
        return jnp.sum(outcomes * bl.losses.dpo(gaps_of(ratio)))

    def objective(params):
        log_policy = env.log_policy(params)
        return jnp.sum(jnp.exp(log_policy) * (env.reward - env.beta * (log_policy - env.log_reference)))

    def gaps_of(table):
        return table[:, :, None] - table[:, None, :]

    def mismatch(size):
        params = env.log_target[0] + size * direction
        log_policy = env.log_policy(params)
        law = samplers.pilaf_weighted(env, log_policy)
        descent = -jax.grad(loss)(params, bl.preferences.outcome_law(env, law))
        ascent = jax.grad(objective)(params)
        # The mass of a self-pair is pi^2 4/Z; the factor between the two gradients is 2 beta/Z.
        factor = 2 * env.beta * law[0, 0, 0] / (4 * jnp.exp(2 * log_policy[0, 0]))
        return float(jnp.linalg.norm(descent - factor * ascent) / jnp.linalg.norm(descent))

    # Relative to a gradient of first order the mismatch is of first order: it halves with the distance.
    assert mismatch(1e-3) < 1e-3
    assert mismatch(1e-3) / mismatch(5e-4) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("num_picks", [1, 64])
def test_greedy_picks_are_the_pairs_of_largest_leverage_one_after_the_other(num_picks):
    env = ENV.replace(beta=6.0)  # rewards far apart: some labels tell next to nothing
    reward = env.beta * (POLICY - env.log_reference)
    variance = label_variance(reward)
    weights = np.asarray(samplers.on_policy(env, POLICY) + 1e-5 * samplers.uniform(env, POLICY)) * variance
    features = np.asarray(env.features)
    z = features[:, :, None] - features[:, None]
    moment, wanted = np.einsum("xij,xija,xijb->ab", weights, z, z), np.zeros_like(weights)
    for _ in range(num_picks):
        leverage = np.einsum("xija,ab,xijb->xij", z, np.linalg.inv(moment), z)
        place = np.unravel_index(np.argmax(np.round(leverage, 9)), leverage.shape)
        wanted[place] += 1 / num_picks
        moment += variance[place] * np.outer(z[place], z[place])  # the label of the pair, no more than it tells
    law = samplers.greedy_leverage(env, POLICY, num_picks=num_picks)
    np.testing.assert_allclose(law, wanted, atol=1e-12)


def test_the_price_of_one_greedy_pick_is_infinite():
    law = samplers.greedy_leverage(ENV, POLICY, num_picks=1)
    assert np.isinf(float(bl.theory.label_price(ENV, law)))


def test_greedy_picks_approach_the_smallest_possible_leverage():
    # At the reference all sigma' are 1/4, and the rule is sequential D-optimal design: G tends to d.
    law = samplers.greedy_leverage(ENV, ENV.log_reference, num_picks=600)
    assert 3.0 <= float(bl.theory.leverage(ENV, law)) < 3.2


def test_the_oracle_is_the_cheapest_of_its_constraint_set(laws):
    prices = {name: float(bl.theory.label_price(ENV, law)) for name, law in laws.items()}
    # Certified to a gap of 1e-6 (1e-4 at the plug-in estimate).
    assert prices["oracle"] <= min(prices.values()) * (1 + 2e-6)
    from_rho = {name: price for name, price in prices.items() if name not in FREE}
    assert prices["oracle_conditional"] <= min(from_rho.values()) * (1 + 2e-6)
    assert prices["plug_in_oracle"] == pytest.approx(prices["oracle"], rel=2e-4)


def test_the_reweighted_design_is_certified_for_h_over_all_pairs(laws):
    features = np.asarray(ENV.features)
    z = features[:, :, None] - features[:, None]
    variance = label_variance(ENV.reward)
    moment = np.einsum("xij,xij,xija,xijb->ab", np.asarray(laws["reweighted"]), variance, z, z)
    leverage = variance * np.einsum("xija,ab,xijb->xij", z, np.linalg.inv(moment), z)
    assert leverage.max() / 3 - 1 <= plug_in.GAP * (1 + 1e-6)


def test_implicit_reward_recovers_the_reward_up_to_a_constant_per_prompt():
    recovered = np.asarray(tilted.implicit_reward(ENV, ENV.log_target) - ENV.reward)
    assert np.ptp(recovered, axis=1).max() < 1e-12


def test_actions_that_the_reference_never_plays_leave_every_law_finite():
    env = bl.instances.partial_coverage(4, covered_mass=1.0)
    policy = jnp.asarray(random_policy(0, (1, 4)))
    for name in POLICIES:
        law = np.asarray(getattr(samplers, name)(env, policy))
        assert np.isfinite(law).all(), name
        assert law.min() >= 0, name
        assert law.sum() == pytest.approx(1, abs=1e-12), name


@pytest.mark.parametrize("size", [20.0, 800.0])
def test_extreme_policies_leave_every_law_finite(size):
    logits = size * np.array([[0.0, 1.0, -1.0, 0.01]] * 3)
    extreme = jax.nn.log_softmax(jnp.asarray(logits), axis=1)
    found = cheap_laws(ENV, extreme) | {name: SOLVE[name](ENV, extreme) for name in ("reweighted", "plug_in_oracle")}
    for name, law in found.items():
        assert np.isfinite(np.asarray(law)).all(), name
        assert float(law.sum()) == pytest.approx(1, abs=1e-9), name
