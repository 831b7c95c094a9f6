"""banditlab.exact.residuals: no policy that training leaves is farther from its prediction than the bound says."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax

from banditlab.exact import residuals

REWARD = np.array([0.0, 0.4, 1.3])
WINS = expit(REWARD[:, None] - REWARD[None, :]) * (1 - np.eye(3)) / 6


def loss(reward):
    return -(WINS * log_expit(reward[:, None] - reward[None, :])).sum()


def gradient(reward):
    pulls = WINS * expit(reward[None, :] - reward[:, None])
    return pulls.sum(axis=0) - pulls.sum(axis=1)


def curvature(reward):
    gaps = reward[:, None] - reward[None, :]
    weights = (WINS + WINS.T) * expit(gaps) * expit(-gaps)
    return np.linalg.eigvalsh(np.diag(weights.sum(1)) - weights)[1]


@pytest.mark.parametrize("size", [1e-6, 1e-2])
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_what_descent_and_a_barrier_leave_is_within_their_bounds(size, beta):
    rng = np.random.default_rng(0)
    log_reference = log_softmax(rng.standard_normal(3))
    target = log_softmax(log_reference + REWARD / beta)
    for step in size * rng.standard_normal((50, 3)):
        step -= step.mean()
        moved = np.abs(log_softmax(log_reference + (REWARD + step) / beta) - target).max()
        # The loss in the logits is that in r/beta: its gradient is beta, its curvature beta^2 times the reward's.
        norm = beta * np.linalg.norm(gradient(REWARD + step))
        descent = residuals.of_descent(norm, beta**2 * curvature(REWARD))
        barrier = residuals.of_barrier(loss(REWARD + step) - loss(REWARD), curvature(REWARD), beta)
        for bound in (descent, barrier):
            assert moved <= bound + 1e-7 * (size < 1e-3)  # a difference of two losses has 1e-16, its root 1e-8
        assert descent <= 40 * moved


def test_unlabelled_actions_gain_the_divergence_to_what_the_gradient_allows():
    log_reference = np.log([[0.3, 0.5, 0.15, 0.05]])
    penalty, beta = 0.5, 1.0

    def slope(logits):
        log_policy = log_softmax(logits)
        ratio = log_policy - log_reference[0]
        spread = np.exp(log_policy) * (ratio - np.exp(log_policy) @ ratio)
        pull = expit(-beta * (ratio[1] - ratio[0])) * beta / 2
        return np.array([pull, -pull, 0.0, 0.0]) + penalty * spread

    for tolerance in (1e-2, 1e-4):
        logits = log_reference[0]
        while np.linalg.norm(slope(logits)) > tolerance:
            logits = logits - 2 * slope(logits)
        log_policy = log_softmax(logits)[None]
        norm = np.linalg.norm(slope(logits))
        ratio = (log_policy - log_reference)[0]
        off = np.abs(ratio[2:] - np.exp(log_policy[0]) @ ratio).max()
        bound = residuals.of_penalised_descent(np.array([norm]), penalty, log_policy, log_reference)
        assert bound.shape == (1,)
        assert off <= bound[0]


def test_the_gap_moves_by_less_than_its_slope_says():
    rng = np.random.default_rng(1)
    target, beta = log_softmax(rng.standard_normal(4)), 0.7

    def gap(log_policy):
        return beta * np.exp(log_policy) @ (log_policy - target)

    for _ in range(50):
        start = log_softmax(2 * rng.standard_normal(4))
        end = log_softmax(start + 0.05 * rng.standard_normal(4))
        moved = np.abs(end - start).max()
        assert abs(gap(end) - gap(start)) <= residuals.gap_slope(start, target, beta) * moved


def test_the_example_is_at_its_maximum():
    found = minimize(loss, np.zeros(3), jac=gradient, tol=1e-12).x
    np.testing.assert_allclose(found - found[0], REWARD, atol=1e-6)
