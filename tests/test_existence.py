"""The certificate of existence against a linear programme, on small integer data sets of every kind."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import banditlab as bl
from banditlab import estimators
from banditlab.estimators import Existence, Status, existence, objective
from banditlab.numerics import tolerances

NUM_SETS = 1200
SHAPE = (2, 4, 3)
# The formula's own rounding, which the certificate adds to be safe, relative to a decrement of 1e-3 and more.
FORMULA = tolerances.at_least(1e-8, jnp.result_type(float), 100_000)
ONE_HOT = np.broadcast_to(np.vstack([np.zeros(3), np.eye(3)]), SHAPE)


def random_set(rng):
    """Features in {-2, .., 2} and few comparisons: separable, quasi-separable, rank-deficient, overlapping."""
    features = rng.integers(-2, 3, SHAPE)
    wins = rng.integers(1, 4, (2, 4, 4)) * (rng.random((2, 4, 4)) < rng.choice([0.1, 0.2, 0.4, 0.7]))
    if rng.random() < 0.3:  # labels of a reward: separable unless it ties
        reward = features @ rng.integers(-2, 3, 3)
        wins = wins * (reward[:, :, None] >= reward[:, None, :])
    return features, wins


def quasi_separable_set(rng):
    """One-hot features, a chain of ties or a cycle within some actions, and strict wins across: never an optimum."""
    order = rng.permutation(4)
    wins = np.zeros((2, 4, 4), int)
    size = rng.integers(2, 4)
    cycle = order[:size]
    for i, j in zip(cycle, np.roll(cycle, -1), strict=True):
        wins[0, i, j] = rng.integers(1, 4)
        if rng.random() < 0.5:
            wins[0, j, i] = rng.integers(1, 4)
    if size == 2:
        wins[0, cycle[0], cycle[1]] = wins[0, cycle[1], cycle[0]] = rng.integers(1, 4)
    for outsider in order[size:]:
        beaten = rng.random() < 0.5
        inside = rng.choice(cycle)
        wins[1, *((inside, outsider) if beaten else (outsider, inside))] = rng.integers(1, 4)
    return ONE_HOT, wins


def data_sets():
    rng = np.random.default_rng(7)
    features, wins = zip(
        *(quasi_separable_set(rng) if k % 4 == 0 else random_set(rng) for k in range(NUM_SETS)), strict=True
    )
    counts = np.array(wins) * rng.choice([1.0, 1.0, 1e6], NUM_SETS)[:, None, None, None]
    # Counts of very different size within a set, too: one observed cell in ten is multiplied by a thousand.
    counts = np.where(rng.random(counts.shape) < 0.1, 1000.0 * counts, counts)
    return np.array(features, float), counts, rng.choice([0.1, 1.0, 5.0], NUM_SETS)


def truth(features, wins):
    """By linear programming: is there a direction with z'theta > 0, or >= 0 and not all 0, on all outcomes?"""
    contexts, winners, losers = np.nonzero(wins * (1 - np.eye(4)))
    rows = features[contexts, winners] - features[contexts, losers]
    if not len(rows):
        return Existence.undetermined
    bounds = [(-1, 1)] * 3
    # Integer data of this size: a strict margin, if there is one, is above 1e-3 within the unit box.
    strict = scipy.optimize.linprog(
        [0, 0, 0, -1], np.hstack([-rows, np.ones((len(rows), 1))]), np.zeros(len(rows)), bounds=[*bounds, (0, 1)]
    )
    if -strict.fun > 1e-6:
        return Existence.separable
    weak = scipy.optimize.linprog(-rows.sum(0), -rows, np.zeros(len(rows)), bounds=bounds)
    unique = np.linalg.matrix_rank(rows) == 3
    return Existence.exists if -weak.fun < 1e-6 and unique else Existence.undetermined


@jax.jit
def verdicts(features, wins, betas, ridge):
    """(NUM_SETS,) `Existence` of every set, fitted with a ridge or without."""
    env = bl.Environment.create(ONE_HOT, target_params=np.zeros(3))

    def one(phi, counts, beta):
        moved = env.replace(features=phi, beta=beta)
        return estimators.fit(moved, counts, ridge=ridge, center=jnp.zeros(phi.shape[-1])).existence

    return jax.vmap(one)(features, wins, betas)


def test_existence_is_never_answered_falsely_and_seldom_left_open():
    features, wins, betas = data_sets()
    expected = np.array([truth(phi, counts) for phi, counts in zip(features, wins, strict=True)])
    for case in Existence:
        assert (expected == case).sum() > 100, f"the sets must hold enough of {case.name}"
    quasi = expected[::4]
    assert np.all(quasi == Existence.undetermined), "the constructed sets are quasi-separable"
    # A ridge moves the point at which the certificate is tried: fewer answers, none of them false.
    found_at = {ridge: np.asarray(verdicts(features, wins, betas, ridge)) for ridge in (0.0, 1e-3, 1.0)}
    for ridge, found in found_at.items():
        claimed = found != Existence.undetermined
        wrong = np.flatnonzero(claimed & (found != expected))
        assert not len(wrong), f"ridge {ridge}: false answer on {wins[wrong[0]]}, {features[wrong[0]]}"
    for case in (Existence.exists, Existence.separable):
        unanswered = (found_at[0.0][expected == case] == Existence.undetermined).mean()
        assert unanswered < 0.02, f"{case.name}: {unanswered:.1%} left undetermined"


def test_a_free_softmax_is_certified_at_its_own_optimum():
    fits = jax.jit(jax.vmap(estimators.fit, in_axes=(None, 0)))
    # The offset of the reference moves the optimum but not its existence.
    for log_reference in (np.full((1, 4), -np.log(4.0)), np.log([[0.9, 0.05, 0.03, 0.02]])):
        env = bl.instances.tabular(np.zeros((1, 4)), log_reference)
        overlapping = np.ones((1, 4, 4))
        ordered = np.triu(np.ones((4, 4)), 1)[None]
        tied = ordered.copy()
        tied[0, 1, 0] = 1.0
        found = fits(env, jnp.asarray([overlapping, ordered, tied])).existence
        np.testing.assert_array_equal(found, [Existence.exists, Existence.separable, Existence.undetermined])


def test_nothing_is_proved_where_slopes_underflow():
    """At margins of 800 a slope is 0 in float64, at 90 in float32, as if there were a minimum."""
    chain, wins = bl.instances.chain(1.0), np.asarray([[[0.0, 0.0], [5.0, 0.0]]])
    for params in (60.0, 69.0, 90.0, 600.0, 700.0, 800.0):
        assert np.isinf(float(estimators.proximity(chain, wins, [params])))
        found = estimators.fit(chain, wins, warm_start=[params])
        assert (int(found.existence), int(found.status)) == (Existence.separable, Status.max_steps)
    # Quasi-separable: equal features tie, and another action loses for ever.
    ties = bl.Environment.create(np.asarray([[[0.0], [0.0], [1.0]]]), target_params=[0.0])
    wins = np.zeros((1, 3, 3))
    wins[0, 0, 1], wins[0, 2, 0] = 1.0, 3.0
    for params in (60.0, 90.0, 800.0):
        found = estimators.fit(ties, wins, warm_start=[params])
        assert (int(found.existence), int(found.status)) == (Existence.undetermined, Status.max_steps)


def test_the_certificate_and_its_radius_are_the_formula_of_proposition_3():
    """rad lam by loops over labels, at points nearer and farther from the optimum: on both sides of 1/2 and of 1."""
    rng = np.random.default_rng(5)
    features, wins = rng.normal(size=SHAPE), rng.integers(1, 6, (2, 4, 4)) * 1.0
    env = bl.Environment.create(features, target_params=np.zeros(3), beta=1.3)
    optimum = np.asarray(estimators.fit(env, wins).params)
    built = objective.build(env, jnp.asarray(wins), None)
    basis = np.asarray(env.difference_basis)

    @jax.jit
    def certified(params):
        coordinates = params @ basis
        gradient, hessian = built.derivatives(bl.losses.dpo, built.margins(coordinates))
        return existence.certify(built, bl.losses.dpo, coordinates, gradient, hessian)

    products, way = [], rng.normal(size=3)
    for distance in np.geomspace(1e-3, 1.0, 60):
        params = optimum + distance * way
        gradient, hessian, differences = np.zeros(3), np.zeros((3, 3)), []
        for x, i, j in np.argwhere(wins > 0):
            if i != j:
                z = features[x, i] - features[x, j]
                share = 1 / (1 + np.exp(1.3 * z @ params))
                gradient -= wins[x, i, j] * 1.3 * share * z
                hessian += wins[x, i, j] * 1.3**2 * share * (1 - share) * np.outer(z, z)
                differences.append(1.3 * z)
        inverse = np.linalg.inv(hessian)
        decrement = np.sqrt(gradient @ inverse @ gradient)
        radius = np.sqrt(np.einsum("nd,de,ne->n", differences, inverse, differences).max())
        product = radius * decrement
        with np.errstate(invalid="ignore", divide="ignore"):
            wanted = -np.log1p(-product) / radius if product < 1 else np.inf
        assert float(estimators.proximity(env, wins, params)) == np.inf or product < 1
        np.testing.assert_allclose(estimators.proximity(env, wins, params), wanted, rtol=FORMULA)
        assert (int(certified(jnp.asarray(params))) == Existence.exists) == (product < 0.5)
        products.append(product)
    assert any(0.1 < product < 0.5 for product in products)
    assert any(0.5 < product < 1 for product in products)
    assert max(products) > 1
