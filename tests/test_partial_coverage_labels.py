"""The predictions of null_test, extrapolation and label_scaling, against other ways to the same numbers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

import banditlab as bl
from banditlab import losses
from banditlab.exact.bradley_terry import descent_remainder, strongly_connected
from banditlab.exact.rare_action import rare_limit
from banditlab.exact.unseen_action import error_constant, log_ratios
from experiments.partial_coverage.extrapolation.experiment import Config as ExtrapolationConfig
from experiments.partial_coverage.extrapolation.runs import SPANNED, sweep
from experiments.partial_coverage.label_scaling.experiment import Config as LabelScalingConfig
from experiments.partial_coverage.label_scaling.runs import FIXED, LIFTED, two_actions


@pytest.mark.parametrize("regime", [FIXED, LIFTED])
def test_the_price_and_the_remainder_of_two_actions_are_those_of_any_environment(regime):
    for mass, beta in itertools.product((0.3, 1e-4), (0.5, 2.0)):
        own = two_actions(LabelScalingConfig(), regime, beta, mass)
        law = bl.samplers.initial(own.env, own.env.log_initial)
        assert own.price == pytest.approx(float(bl.theory.label_price(own.env, law)), rel=1e-9)
        leverage = bl.coverage.leverage(own.env, bl.theory.fisher_information(own.env, law))
        assert own.remainder(1e6) == pytest.approx(beta**2 * float(leverage) / 1e6, rel=1e-9)


def test_the_law_at_no_mass_is_the_limit_of_the_exact_law():
    beta, reward, margin, mass, labels = 0.5, 1.0, 1.0, 1e-4, 10_000
    target, total = reward / beta, 0.0
    won = 1 / (1 + np.exp(-reward))
    for m in range(40):
        for w in range(m + 1):
            with np.errstate(divide="ignore"):
                estimate = (np.log(w) - np.log(m - w)) / beta if m else 0.0
            estimate = float(np.clip(estimate, -target - margin, target + margin))
            p, q = (mass * np.exp(t) / (1 - mass + mass * np.exp(t)) for t in (estimate, target))
            gap = beta * (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
            total += binom.pmf(m, labels, 2 * mass * (1 - mass)) * binom.pmf(w, m, won) * gap
    limit, _ = rare_limit(labels * mass, beta, reward, margin)
    # The remainder is of order p e^{2 theta}: 1e-4 e^6 at the cap.
    assert total / mass == pytest.approx(limit, rel=0.04)
    assert total / mass != pytest.approx(limit, rel=1e-6)


def test_chains_of_wins_are_what_ford_asks_for():
    # The maximum exists iff in every split of the actions in two each part has beaten the other at least once.
    rng = np.random.default_rng(0)
    wins = (rng.random((300, 4, 4)) < 0.4) * 1.0
    splits = [list(part) for size in (1, 2, 3) for part in itertools.combinations(range(4), size)]
    rest = [[a for a in range(4) if a not in part] for part in splits]
    wanted = [all(w[np.ix_(i, j)].any() for i, j in zip(splits, rest, strict=True)) for w in wins]
    np.testing.assert_array_equal(strongly_connected(wins), wanted)
    assert 50 < sum(wanted) < 250


def test_the_remainder_of_descent_reads_the_curvature_of_the_mean_loss():
    beta, rng = 0.5, np.random.default_rng(1)
    wins = rng.integers(1, 9, (1, 3, 3)) * 1.0
    reward = rng.standard_normal((1, 3))

    def mean_loss(params):
        margins = beta * (params[:, None] - params[None, :])
        return jnp.sum(wins[0] * (1 - np.eye(3)) * losses.dpo(margins)) / wins.sum()

    spectrum = np.linalg.eigvalsh(jax.jit(jax.hessian(mean_loss))(jnp.asarray(reward[0] / beta)))
    least = spectrum[spectrum > 1e-9].min()  # a shift has none
    remainder = descent_remainder(wins, reward, beta, np.array([1e-3]))
    np.testing.assert_allclose(remainder, 2 * np.sqrt(2) * 1e-3 / least, rtol=1e-9)


def test_the_constant_of_the_unseen_action_is_the_delta_method():
    config = ExtrapolationConfig()
    features, target = sweep(config, SPANNED, config.position)
    env = bl.Environment.create(
        features[None, :, :1], target_params=target[:1], log_reference=np.log([config.reference]), beta=config.beta
    )
    slope = jax.grad(lambda params: env.log_policy(params)[0, 2])(jnp.asarray(target[:1]))
    seen = np.array([0.5, 0.5, 0.0])
    law = jnp.asarray((seen[:, None] * seen[None, :])[None])
    information = bl.theory.fisher_information(env, law)
    wanted = float(slope @ jnp.linalg.inv(information) @ slope)
    constant = error_constant(config.position, config.target, config.beta, np.asarray(config.reference))
    assert constant == pytest.approx(wanted, rel=1e-9)


def test_the_preferred_seen_action_falls_iff_its_reward_is_below_the_soft_maximum():
    config = ExtrapolationConfig()
    for position in (-1.0, 0.5, 1.5, 1.75, 2.0, 4.0):
        features, target = sweep(config, SPANNED, position)
        reward = config.beta * features @ target
        soft = config.beta * np.log(np.asarray(config.reference) @ np.exp(reward / config.beta))
        change = log_ratios(features, target, np.asarray(config.reference))
        assert (change[1] < 0) == (reward[1] < soft)
        assert np.exp(change) @ np.asarray(config.reference) == pytest.approx(1.0, rel=1e-12)
