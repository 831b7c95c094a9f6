"""The independent NumPy reference is itself right: its fit, its draws and its metrics, each checked apart."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.special import expit, log_softmax
from sklearn.linear_model import LogisticRegression

from benchmarks import reference

BETA = 0.7


@pytest.fixture
def instance():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(3, 4, 2))
    log_reference = log_softmax(rng.normal(size=(3, 4)), axis=1)
    return features, np.array([0.9, -0.6]), log_reference, np.array([0.5, 0.3, 0.2])


def drawn_rows(instance, num_pairs, seed=0):
    features, target_params, log_reference, context_probs = instance
    rng = np.random.default_rng(seed)
    policy = np.exp(log_reference)
    return reference.draw_rows(features, policy, context_probs, BETA * target_params, num_pairs, rng)


def symmetrised_sklearn(rows, inverse_ridge):
    """Without an intercept, (row, 1) and (-row, 0) are the same observation; sklearn wants two classes."""
    sign = np.where(np.arange(len(rows)) % 2 == 0, 1.0, -1.0)
    model = LogisticRegression(C=inverse_ridge, fit_intercept=False, tol=1e-12, solver="newton-cholesky")
    return model.fit(rows * sign[:, None], sign > 0).coef_[0]


@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_fit_agrees_with_sklearn_on_raw_rows(instance, ridge):
    rows = BETA * drawn_rows(instance, 400)
    zero = np.zeros(2)
    ours = reference.fit(rows, ridge=ridge, center=zero, start=zero, gradient_tolerance=1e-9, value_tolerance=1e-16)
    theirs = symmetrised_sklearn(rows, np.inf if ridge == 0.0 else 1.0 / ridge)
    # L-BFGS stalls once the loss (about 250) changes by an ulp, a step of sqrt(2 * 250 * 2e-16 / 10) = 1e-7.
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_fit_is_stationary_for_a_ridge_about_any_centre(instance):
    rows = BETA * drawn_rows(instance, 300)
    center = np.array([2.0, -1.0])
    theta = reference.fit(rows, ridge=5.0, center=center, start=center, gradient_tolerance=1e-9, value_tolerance=1e-16)
    gradient = 5.0 * (theta - center) - rows.T @ expit(-rows @ theta)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-4)  # curvature about 40 times the 1e-6 above


def test_fit_minimises_with_the_gradient_of_its_own_loss(instance, monkeypatch):
    rows = BETA * drawn_rows(instance, 50)
    captured = {}

    def capture(fun, start, **_):
        captured["loss"] = fun
        return type("Result", (), {"x": start})

    monkeypatch.setattr(reference, "minimize", capture)
    reference.fit(rows, ridge=1.5, center=np.array([0.3, 0.1]), start=np.zeros(2))
    point = np.array([0.4, -1.1])
    error = check_grad(lambda p: captured["loss"](p)[0], lambda p: captured["loss"](p)[1], point)
    assert error < 1e-5  # forward difference: step 1.5e-8 times a curvature of about 10, plus 1e-14 / 1.5e-8


def test_rows_have_the_second_moment_and_the_mean_of_the_bradley_terry_law(instance):
    features, target_params, log_reference, context_probs = instance
    num_pairs = 200_000
    rows = drawn_rows(instance, num_pairs)
    policy = np.exp(log_reference)
    law = np.einsum("x,xi,xj->xij", context_probs, policy, policy)
    z = features[:, :, None] - features[:, None, :]
    wins = law * expit(BETA * z @ target_params)
    mean = 2 * np.einsum("xij,xijd->d", wins, z)  # the winner is i with y = i, or i with y' = i: twice
    second = np.einsum("xij,xijd,xije->de", law, z, z)  # = 2 V (I1), whoever wins
    mean_error = np.sqrt(np.diag(second) / num_pairs)
    assert np.all(np.abs(rows.mean(0) - mean) < 4 * mean_error)
    squares = rows[:, :, None] * rows[:, None, :]
    assert np.all(np.abs(squares.mean(0) - second) < 4 * squares.std(0) / np.sqrt(num_pairs))


def test_kl_is_the_bregman_divergence_of_the_log_partition(instance):
    features, target_params, log_reference, context_probs = instance
    other = np.array([-0.4, 1.3])

    def log_table(params):
        return log_softmax(log_reference + features @ params, axis=1)

    def log_partition(params):
        return context_probs @ np.log(np.exp(log_reference + features @ params).sum(1))

    mean_features = np.einsum("x,xa,xad->d", context_probs, np.exp(log_table(target_params)), features)
    bregman = log_partition(other) - log_partition(target_params) - mean_features @ (other - target_params)
    kl = reference.kl_divergence(context_probs, log_table(target_params), log_table(other))
    assert abs(kl - bregman) < 1e-12


def test_kl_ignores_actions_without_mass():
    log_p, log_q = np.log([[0.5, 0.5, 1.0]]), np.log([[0.25, 0.75, 1.0]])
    log_p[0, 2] = log_q[0, 2] = -np.inf
    expected = 0.5 * np.log(2.0) + 0.5 * np.log(2.0 / 3.0)
    assert abs(reference.kl_divergence(np.ones(1), log_p, log_q) - expected) < 1e-15


@pytest.mark.parametrize("sampler", ["on_policy", "offline", "uniform"])
def test_gap_is_beta_times_reverse_kl_along_a_run(instance, sampler):
    features, target_params, log_reference, context_probs = instance
    params = []
    original = reference.fit

    def recording_fit(*args, **kwargs):
        params.append(original(*args, **kwargs))
        return params[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "fit", recording_fit)
        rng = np.random.default_rng(1)
        run = reference.simulate(*instance, BETA, sampler=sampler, num_pairs=200, num_rounds=4, ridge=1.0, rng=rng)
    log_target = log_softmax(log_reference + features @ target_params, axis=1)
    for k, theta in enumerate(params):
        log_policy = log_softmax(log_reference + features @ theta, axis=1)
        forward = reference.kl_divergence(context_probs, log_target, log_policy)
        backward = reference.kl_divergence(context_probs, log_policy, log_target)
        assert abs(run["kl_target"][k] - forward) < 1e-14
        # I3; J is of order 1, so its difference keeps about 15 digits after the point.
        assert abs(run["gap"][k] - BETA * backward) < 1e-13


def test_offline_run_fits_all_labels_so_far_and_fresh_on_policy_only_the_last_batch(instance, monkeypatch):
    sizes = []
    original = reference.fit
    monkeypatch.setattr(reference, "fit", lambda rows, **kw: sizes.append(len(rows)) or original(rows, **kw))
    settings = {"num_pairs": 50, "num_rounds": 3, "ridge": 1.0}
    for sampler, pooled in [("offline", False), ("on_policy", False), ("on_policy", True)]:
        rng = np.random.default_rng(2)
        reference.simulate(*instance, BETA, sampler=sampler, pooled=pooled, rng=rng, **settings)
    assert sizes == [50, 100, 150, 50, 50, 50, 50, 100, 150]


def test_unknown_sampler_is_named(instance):
    with pytest.raises(ValueError, match="sampler must be 'on_policy', 'offline' or 'uniform'; got 'greedy'"):
        reference.simulate(*instance, BETA, sampler="greedy", num_pairs=5, num_rounds=1, rng=np.random.default_rng(0))
