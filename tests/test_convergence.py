"""What `converged` promises: a small gradient, for every loss; and minimisers far away are reached."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special

import banditlab as bl
from banditlab import designs, losses
from banditlab.estimators import Existence, Status, objective

PAIR = bl.planner.problem(np.eye(2)[None])
fit_once = jax.jit(bl.estimators.fit, static_argnames="loss")


def table(wins, losses_):
    return jnp.asarray([[[0.0, wins], [losses_, 0.0]]])


def margin(fit):
    return float(fit.params[0] - fit.params[1])


def hinge(h):
    return jnp.maximum(0.0, 1.0 - h)


def robust(h):
    return (0.9 * losses.dpo(h) - 0.1 * losses.dpo(-h)) / 0.8


def smoothed(h):
    return 0.9 * losses.dpo(h) + 0.1 * losses.dpo(-h)


def test_the_loss_and_its_slope_are_what_trainers_print():
    # At beta = 0.1 and a difference of log-ratios of 6; trainers differentiate by the latter.
    loss, slope = jax.value_and_grad(lambda gap: losses.dpo(0.1 * gap))(6.0)
    np.testing.assert_allclose([loss, slope], [0.437488, -0.035434], atol=5e-7)


def by_hand(h):
    return -jnp.log(jax.nn.sigmoid(h))


@pytest.mark.parametrize("form", [objective.PairForm, objective.LaplacianForm])
@pytest.mark.parametrize(
    ("loss", "wins", "ridge"),
    [
        (hinge, (95.0, 5.0), 0.0),  # least at margin 1, where Newton has no curvature to find it by
        (hinge, (95.0, 5.0), 1e-3),
        (robust, (95.0, 5.0), 0.0),  # (.9 95 - .1 5) / (.8 100) > 1: no minimum
        (by_hand, (9.0, 0.0), 0.0),  # no minimum; the slope underflows at margin 37
        (losses.dpo, (9.0, 0.0), 0.0),
    ],
)
def test_a_fit_without_a_small_gradient_at_a_minimum_has_not_converged(loss, wins, ridge, form, monkeypatch):
    monkeypatch.setattr(objective, "PAIR_FORM_LIMIT", 1e9 if form is objective.PairForm else 0)
    fit = bl.estimators.fit(PAIR, table(*wins), loss=loss, ridge=ridge)
    assert fit.status == Status.max_steps


@pytest.mark.parametrize("form", [objective.PairForm, objective.LaplacianForm])
@pytest.mark.parametrize(
    ("loss", "wins", "wanted"),
    [
        (robust, (7.0, 3.0), np.log(3)),
        (smoothed, (9.0, 0.0), np.log(9)),
        (smoothed, (7.0, 3.0), np.log(0.66 / 0.34)),
        (by_hand, (7.0, 3.0), np.log(7 / 3)),
        (losses.dpo, (7.0, 3.0), np.log(7 / 3)),
    ],
)
def test_a_convex_loss_of_ones_own_reaches_its_minimum(loss, wins, wanted, form, monkeypatch):
    monkeypatch.setattr(objective, "PAIR_FORM_LIMIT", 1e9 if form is objective.PairForm else 0)
    fit = bl.estimators.fit(PAIR, table(*wins), loss=loss)
    assert fit.status == Status.converged
    assert margin(fit) == pytest.approx(wanted, abs=1e-9)


def test_a_regression_on_one_outcome_converges_where_every_slope_vanishes():
    targets = jnp.full((1, 2, 2), 0.5)
    fit = bl.estimators.fit(PAIR, table(9.0, 0.0), loss=losses.ipo, target=targets)
    assert (int(fit.status), margin(fit)) == (Status.converged, pytest.approx(0.5, abs=1e-12))


@pytest.mark.parametrize(
    ("wins", "cap", "wanted"), [((9, 0), 2.0, 2**1.5), ((9, 1), 1.0, 2**0.5), ((9, 1), 9.0, np.log(9))]
)
def test_a_cap_holds_what_it_holds_of_the_gradient(wins, cap, wanted):
    fit = bl.estimators.fit(PAIR, table(*map(float, wins)), max_norm=cap)
    assert (int(fit.status), margin(fit)) == (Status.converged, pytest.approx(wanted, rel=1e-9))


@pytest.mark.parametrize(
    ("ridge", "wanted"),
    [
        (1.0, (0.414790256543, 0.0705929242935)),
        (1e-4, (33.3432501748, 27.6431050574)),
        (1e-12, (151.595339833, 128.98553345)),
    ],
)
def test_a_chain_of_single_wins_is_fitted_at_any_ridge(ridge, wanted):
    """Wanted: Newton at 60 digits."""
    chain = bl.planner.problem(np.eye(15)[None])
    wins = np.zeros((1, 15, 15))
    wins[0, np.arange(14), np.arange(1, 15)] = 1
    fit = fit_once(chain, wins, ridge=ridge)
    assert fit.status == Status.converged
    assert fit.existence == Existence.separable
    np.testing.assert_allclose(fit.params[:2], wanted, rtol=1e-11)


def separable_set(seed):
    rng = np.random.default_rng(seed)
    phi, theta = rng.normal(size=(4, 6, 3)), rng.normal(size=3)
    wins = np.zeros((4, 6, 6))
    for _ in range(40):
        x, (i, j) = rng.integers(4), rng.choice(6, 2, replace=False)
        i, j = (i, j) if (phi[x, i] - phi[x, j]) @ theta > 0 else (j, i)
        wins[x, i, j] += 1
    return phi, wins


@pytest.mark.parametrize("ridge", [1.0, 1e-3, 1e-6, 1e-8])
def test_separable_data_reach_the_minimiser_of_a_small_ridge(ridge):
    """40 labels, 3 features, 60 sets, against a trust-region Newton of SciPy."""
    for seed in range(60):
        phi, wins = separable_set(seed)
        env = bl.Environment.create(phi, target_params=np.zeros(3))
        fit = fit_once(env, wins, ridge=ridge)
        assert fit.status == Status.converged
        assert ridge == 1.0 or fit.existence == Existence.separable
        if seed % 12:
            continue
        x, i, j = np.nonzero(wins)
        rows, counts = phi[x, i] - phi[x, j], wins[x, i, j]

        def value(theta, rows=rows, counts=counts):
            return counts @ np.logaddexp(0, -rows @ theta) + 0.5 * ridge * theta @ theta

        def slope(theta, rows=rows, counts=counts):
            return -rows.T @ (counts * scipy.special.expit(-rows @ theta)) + ridge * theta

        def bend(theta, rows=rows, counts=counts):
            curvature = counts * scipy.special.expit(rows @ theta) * scipy.special.expit(-rows @ theta)
            return rows.T @ (curvature[:, None] * rows) + ridge * np.eye(3)

        theirs = scipy.optimize.minimize(
            value,
            np.zeros(3),
            jac=slope,
            hess=bend,
            method="trust-exact",
            options={"gtol": 1e-10 * ridge, "maxiter": 9999},
        ).x
        theirs = theirs - np.linalg.solve(bend(theirs), slope(theirs))
        np.testing.assert_allclose(fit.params, theirs, rtol=1e-6)


def test_unrelated_labels_leave_a_contrast_alone():
    four = bl.planner.problem(np.eye(4)[None])
    wins = np.zeros((1, 4, 4))
    wins[0, 0, 1], wins[0, 1, 0] = 7, 3
    for pair in (0.0, 5.0):
        wins[0, 2, 3], wins[0, 3, 2] = pair, pair / 5
        assert margin(fit_once(four, wins, ridge=0.5)) == pytest.approx(0.758539306, abs=1e-9)


GRID = [
    np.r_[np.eye(3)[a], np.eye(4)[b], np.eye(2)[c]]
    for a, b, c in itertools.product(range(3), range(4), range(2))
    if (a, c) != (2, 0)
]


@pytest.mark.parametrize("name", ["triple", "conditional_pairs", "joint", "l_optimal"])
def test_a_smaller_gap_never_returns_a_looser_design(name):
    """Full dummies of a 3 x 4 x 2 grid with a hole: rounding keeps the gap above 1e-12, or its steps run out."""
    env = bl.planner.problem(np.asarray([GRID]))
    assert (env.num_actions, env.rank) == (20, 6)
    found = [getattr(designs, name)(env, gap=gap, max_steps=60) for gap in (1e-3, 1e-6, 1e-9, 1e-10, 1e-11, 1e-12)]
    gaps = [float(design.duality_gap) for design in found]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[2] <= 1e-9
    assert [bool(design.converged) for design in found] == [
        gap <= asked for gap, asked in zip(gaps, (1e-3, 1e-6, 1e-9, 1e-10, 1e-11, 1e-12), strict=True)
    ]
    if name in ("triple", "conditional_pairs"):
        assert bl.theory.leverage(env, found[-1].pair_law) == pytest.approx(6.0, abs=1e-8)
