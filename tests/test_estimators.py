"""Estimators against scikit-learn, SciPy and choix on raw rows; every status reported for what it is."""

import choix
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from random_environments import random_environment, random_wins
from sklearn.linear_model import LogisticRegression

import banditlab as bl
from banditlab import estimators
from banditlab.estimators import Existence, Status, objective

# Newton stops at a last margin change of 1e-5 and is then within its square, 1e-10, of the optimum;
# what limits the comparisons is the other side, stopped at gradients of about 1e-9.
CLOSE = {"rtol": 1e-6, "atol": 1e-7}

SHAPE = (3, 4, 3)
ENV = random_environment(21, SHAPE)
WINS = random_wins(21, SHAPE[:2])
FREE = ENV.replace(log_base=np.zeros(SHAPE[:2]))


# One program per structure of arguments; numbers do not recompile. A traced cap is a cap, so none is passed for inf.
fit_once = jax.jit(estimators.fit, static_argnames="loss")


def raw_rows(env, wins):
    """One row per labelled pair of different actions, (n, d), with its offset in the logit (n,)."""
    phi = np.asarray(env.features)
    offset = np.asarray(env.log_base - env.log_reference)
    rows, offsets = [], []
    for x, i, j in np.argwhere(wins > 0):
        if i != j:
            rows += [phi[x, i] - phi[x, j]] * int(wins[x, i, j])
            offsets += [offset[x, i] - offset[x, j]] * int(wins[x, i, j])
    return float(env.beta) * np.array(rows), float(env.beta) * np.array(offsets)


def problem(env, wins, ridge=0.0, center=0.0):
    """Value and gradient of the objective on raw rows, from the logistic loss alone."""
    rows, offsets = raw_rows(env, wins)

    def value_and_gradient(params):
        margins = rows @ params + offsets
        value = np.logaddexp(0, -margins).sum() + 0.5 * ridge * ((params - center) ** 2).sum()
        return value, -rows.T @ scipy.special.expit(-margins) + ridge * (params - center)

    return value_and_gradient


def by_scipy(env, wins, ridge=0.0, center=0.0, **options):
    start = np.zeros(env.num_features)
    options = {"method": "BFGS", "options": {"gtol": 1e-9}} | options
    return scipy.optimize.minimize(problem(env, wins, ridge, center), start, jac=True, **options).x


@pytest.mark.parametrize("ridge", [0.0, 0.5, 20.0])
def test_fit_is_scikit_learns_logistic_regression_of_the_labels(ridge):
    rows, _ = raw_rows(ENV, WINS)
    flip = np.where(np.arange(len(rows)) % 2, 1, -1)  # scikit-learn wants both classes
    model = LogisticRegression(
        C=1 / ridge if ridge else np.inf, fit_intercept=False, solver="newton-cholesky", tol=1e-12
    )
    model.fit(rows * flip[:, None], flip)
    fit = fit_once(ENV, WINS, ridge=ridge)
    np.testing.assert_allclose(fit.params, model.coef_[0], **CLOSE)
    assert (fit.status, fit.existence) == (Status.converged, Existence.exists)
    # The gradient at a margin error of 1e-10, over at most 100 rows; the decrement is smaller still.
    assert fit.gradient_norm < 1e-7
    assert fit.decrement < 1e-7


@pytest.mark.parametrize("env", [ENV, FREE], ids=["linear", "free"])
@pytest.mark.parametrize("center", [np.zeros(3), np.array([1.0, -2.0, 3.0])], ids=["reference", "other"])
def test_ridge_pulls_the_sum_of_losses_to_its_centre(env, center):
    fit = fit_once(env, WINS, ridge=3.0, center=jnp.asarray(center))
    np.testing.assert_allclose(fit.params, by_scipy(env, WINS, 3.0, center), **CLOSE)


def test_free_softmax_has_the_offset_of_the_reference_in_its_logit():
    np.testing.assert_allclose(fit_once(FREE, WINS).params, by_scipy(FREE, WINS), **CLOSE)
    assert np.abs(by_scipy(FREE, WINS) - by_scipy(ENV, WINS)).max() > 0.1


def test_fit_of_one_hot_features_is_choixs_bradley_terry_model():
    env = bl.instances.tabular(np.zeros((1, 5)))
    wins = random_wins(4, (1, 5))
    data = [(i, j) for _, i, j in np.argwhere(wins > 0) if i != j for _ in range(int(wins[0, i, j]))]
    fit = fit_once(env, wins)
    np.testing.assert_allclose(fit.params, choix.ilsr_pairwise(5, data, max_iter=1000, tol=1e-12), **CLOSE)
    assert (fit.status, fit.existence) == (Status.converged, Existence.exists)


def test_no_direction_outside_the_span_of_the_differences_ever_moves():
    env = bl.instances.tabular(np.zeros((1, 5)))
    start = jnp.arange(5.0)
    fit = fit_once(env, random_wins(4, (1, 5)), ridge=0.3, center=-start, warm_start=start)
    np.testing.assert_allclose(fit.params.sum(), start.sum(), rtol=1e-12)


def test_more_parameters_than_the_unrolled_solver_takes():
    env = random_environment(3, (4, 6, 11))
    wins = random_wins(3, (4, 6))
    np.testing.assert_allclose(fit_once(env, wins, ridge=0.1).params, by_scipy(env, wins, 0.1), **CLOSE)


@pytest.mark.parametrize("env", [ENV, FREE], ids=["linear", "free"])
@pytest.mark.parametrize("radius", [1e-3, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("ridge", [0.0, 2.0])
def test_norm_cap_is_the_constrained_optimum_of_a_general_purpose_solver(env, radius, ridge):
    fit = fit_once(env, WINS, max_norm=radius, ridge=ridge, center=jnp.ones(3))
    value_and_gradient = problem(env, WINS, ridge, np.ones(3))
    general = scipy.optimize.minimize(
        lambda unit: value_and_gradient(radius * unit)[0],
        np.full(3, 0.1),
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda unit: 1 - unit @ unit, "jac": lambda unit: -2 * unit},
        jac=lambda unit: radius * value_and_gradient(radius * unit)[1],
        options={"ftol": 1e-14, "maxiter": 500},
    )
    # SLSQP stops on values: ours may not be worse, and its point is only good to the square root of that.
    value, gradient = value_and_gradient(np.asarray(fit.params))
    assert value <= general.fun + 1e-10
    np.testing.assert_allclose(fit.params, radius * general.x, rtol=1e-4, atol=1e-5 * radius)
    # The conditions of Karush, Kuhn and Tucker: the gradient vanishes, or points straight into the ball.
    norm = np.linalg.norm(fit.params)
    assert norm <= radius * (1 + 1e-9)
    multiplier = max(0.0, -gradient @ np.asarray(fit.params)) / norm**2
    np.testing.assert_allclose(gradient, -multiplier * np.asarray(fit.params), atol=1e-6)
    if norm < radius * (1 - 1e-6):
        np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert fit.status == Status.converged


def test_separable_data_reach_the_cap():
    env = bl.instances.chain()
    fit = fit_once(env, jnp.asarray([[[0.0, 0.0], [5.0, 0.0]]]), max_norm=4.0)
    np.testing.assert_allclose(fit.params, 4.0, rtol=1e-9)
    assert (fit.status, fit.existence) == (Status.converged, Existence.separable)


@pytest.mark.parametrize("form", [objective.PairForm, objective.LaplacianForm])
def test_the_optimum_does_not_depend_on_the_start(form, monkeypatch):
    monkeypatch.setattr(objective, "PAIR_FORM_LIMIT", 0 if form is objective.LaplacianForm else 10**9)
    directions = np.array([[1.0, -1.0, 0.5], [-1.0, 1.0, -0.5], [0.3, 0.2, -1.0]])
    starts = np.vstack([size * directions for size in (0.0, 3.0, 40.0, 1e3)])  # margins up to some thousands
    fits = jax.jit(jax.vmap(lambda start: estimators.fit(FREE, WINS, warm_start=start)))(starts)
    np.testing.assert_allclose(fits.params, np.broadcast_to(by_scipy(FREE, WINS), starts.shape), **CLOSE)
    assert np.all(fits.status == Status.converged)
    assert np.all(fits.existence == Existence.exists)


def test_a_separable_first_batch_is_forgotten_once_the_labels_disagree():
    env = bl.instances.chain()
    for one_sided in ([[0.0, 5.0], [0.0, 0.0]], [[0.0, 0.0], [5.0, 0.0]]):
        first = fit_once(env, jnp.asarray([one_sided]))
        both = jnp.asarray([one_sided]) + jnp.asarray([[[0.0, 1.0], [1.0, 0.0]]])
        second = fit_once(env, both, warm_start=first.params)
        np.testing.assert_allclose(second.params, np.log(both[0, 1, 0] / both[0, 0, 1]), rtol=1e-9)
        assert second.status == Status.converged


@pytest.mark.parametrize("winner", [0, 1])
def test_separable_data_have_no_optimum_and_never_converge_whichever_action_wins(winner):
    wins = jnp.zeros((1, 2, 2)).at[0, winner, 1 - winner].set(5.0)
    fit = fit_once(bl.instances.chain(), wins)
    assert (fit.status, fit.existence) == (Status.max_steps, Existence.separable)
    assert np.sign(fit.params) == (1 if winner else -1)
    ridged = fit_once(bl.instances.chain(), wins, ridge=0.1)
    assert (ridged.status, ridged.existence) == (Status.converged, Existence.separable)


def test_without_an_informative_pair_nothing_moves():
    self_pairs = 7.0 * jnp.eye(4)[None] * jnp.ones((3, 1, 1))
    start = jnp.asarray([0.3, -2.0, 11.0])
    for wins in (self_pairs, jnp.zeros((3, 4, 4))):
        fit = fit_once(ENV, wins, warm_start=start)
        np.testing.assert_array_equal(fit.params, start)
        assert (fit.status, fit.existence) == (Status.converged, Existence.undetermined)
        np.testing.assert_allclose(fit_once(ENV, wins, ridge=2.0, warm_start=start).params, 0.0, atol=1e-12)


@pytest.mark.parametrize("ridge", [0.0, 1.5])
def test_ipo_and_distillation_are_least_squares(ridge):
    rng = np.random.default_rng(1)
    target = rng.normal(size=(3, 4, 4))
    rows, _ = raw_rows(ENV, WINS)
    values = [target[x, i, j] for x, i, j in np.argwhere(WINS > 0) if i != j for _ in range(int(WINS[x, i, j]))]
    normal = 2 * rows.T @ rows + ridge * np.eye(3)
    expected = np.linalg.solve(normal, 2 * rows.T @ np.array(values))
    for loss in (bl.losses.ipo, bl.losses.distillation):
        fit = fit_once(ENV, WINS, loss=loss, target=jnp.asarray(target), ridge=ridge)
        np.testing.assert_allclose(fit.params, expected, rtol=1e-9, atol=1e-11)
        assert (fit.status, fit.existence) == (Status.converged, Existence.exists)


def test_noiseless_distillation_recovers_the_target_without_a_floor():
    gaps = bl.preferences.reward_gaps(ENV)
    fit = fit_once(ENV, WINS, loss=bl.losses.distillation, target=gaps)
    # What a last margin change of 1e-5 leaves: a divergence of 1e-20. A ridge of 1e-3 would leave 1e-10.
    np.testing.assert_allclose(fit.params, ENV.target_params, rtol=0, atol=1e-9)


def test_population_fit_recovers_the_target_exactly():
    law = bl.preferences.outcome_law(ENV, bl.samplers.initial(ENV, ENV.log_initial))
    np.testing.assert_allclose(fit_once(ENV, law).params, ENV.target_params, rtol=1e-9, atol=1e-9)


def test_proposition_3_bounds_the_distance_to_the_optimum_at_any_point():
    rng = np.random.default_rng(0)
    wins = jnp.asarray(20.0 * random_wins(5, SHAPE[:2]))
    optimum = fit_once(FREE, wins).params
    scales = 10.0 ** rng.uniform(-4, 0, (300, 1))
    points = optimum[None] + jnp.asarray(scales * rng.normal(size=(300, 3)))

    @jax.jit
    @jax.vmap
    def compare(point):
        built = objective.build(FREE, wins, None)
        _, hessian = built.derivatives(bl.losses.dpo, built.margins(point))
        return estimators.proximity(FREE, wins, point), jnp.sqrt((point - optimum) @ hessian @ (point - optimum))

    radii, distances = map(np.asarray, compare(points))
    proved = np.isfinite(radii)
    assert 100 < proved.sum() < 300  # it does not promise what it cannot
    assert np.all(distances[proved] <= radii[proved] * (1 + 1e-9))
    assert np.max(distances[proved] / radii[proved]) > 0.9  # and it is not slack near the optimum


@pytest.mark.parametrize("count", [1.0, 1e9, 1e15])
@pytest.mark.parametrize("beta", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("size", [0.0, 1e4])
def test_extreme_numbers_never_turn_nan_and_nothing_false_is_claimed(count, beta, size):
    env = ENV.replace(beta=beta)
    start = size * jnp.asarray([1.0, -1.0, 0.5])
    for ridge, radius in ((0.0, np.inf), (1e-6, np.inf), (1e9, np.inf), (0.0, 1e-3)):
        cap = {} if radius == np.inf else {"max_norm": radius}
        fit = fit_once(env, count * WINS, ridge=ridge, center=jnp.zeros(3), warm_start=start, **cap)
        assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(fit))
        assert fit.existence != Existence.separable
        if size == 0.0:
            assert fit.status == Status.converged
        if fit.status == Status.converged and radius == np.inf:
            # A margin change of at most 1e-5 of rows whose curvature is at most n beta^2 |z|^2 / 4.
            assert fit.gradient_norm <= 1e-5 * (count * WINS.sum() * beta + ridge)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wins": np.ones((3, 4))}, r"wins must be \(3, 4, 4\); got \(3, 4\)"),
        ({"wins": -WINS}, r"wins must be non-negative; got -5"),
        ({"wins": WINS * np.nan}, r"wins must be finite; got nan"),
        ({"ridge": -1.0}, r"ridge must be non-negative and finite; got -1"),
        ({"ridge": np.nan}, r"ridge must be non-negative and finite; got nan"),
        ({"max_norm": 0.0}, r"max_norm must be positive; got 0"),
        ({"center": np.ones(2)}, r"center must be \(3,\); got \(2,\)"),
        ({"center": np.full(3, np.inf)}, r"center must be finite; got inf"),
        ({"warm_start": np.ones((1, 3))}, r"warm_start must be \(3,\); got \(1, 3\)"),
        ({"target": np.ones((3, 4)), "loss": bl.losses.ipo}, r"target must be \(3, 4, 4\); got \(3, 4\)"),
        ({"loss": bl.losses.ipo}, r"target must be .*got None"),
        ({"target": np.ones((3, 4, 4))}, r"target must be"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message) as error:
        estimators.fit(ENV, **{"wins": WINS, **options})
    assert len(str(error.value)) < 150


def test_a_cap_that_does_not_bind_changes_no_fit_whatever_the_scales_of_features():
    features = np.random.default_rng(0).normal(size=(2, 5, 2)) * [1, 1e-7]
    env = bl.Environment.create(features, target_params=[0.5, 5e6])
    law = bl.samplers.uniform(env, env.log_initial)
    wins = 1e6 * np.asarray(bl.preferences.outcome_law(env, law))
    fit = bl.estimators.fit(env, wins, max_norm=1e9)
    assert fit.status == bl.Status.converged
    np.testing.assert_allclose(fit.params, env.target_params, rtol=1e-8)
