"""The label planner against what it plugs into: closed forms, the true parameter, and a simulated buyer."""

import example_comparisons
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import banditlab as bl
from banditlab import planner
from banditlab.planner import plans, prices

FEATURES, TARGET, LOG_REFERENCE = example_comparisons.truth()
LABELS_NEEDED = jax.jit(planner.labels_needed)
TRUTH = bl.Environment.create(FEATURES, target_params=TARGET, log_reference=LOG_REFERENCE)
UNKNOWN = planner.problem(FEATURES, log_reference=LOG_REFERENCE + 3.0)  # log-probabilities up to a constant
SHAPE = FEATURES.shape[:2]
EXAMPLE = example_comparisons.example()


def example_wins():
    return planner.comparisons(UNKNOWN, *(EXAMPLE[name] for name in ("context", "chosen", "rejected")))


def drawn_wins(seed, num_pairs, num_sets=1):
    """(num_sets, S, A, A) labels on pairs of different actions, uniform; by NumPy, which compiles nothing."""
    law = np.broadcast_to(~np.eye(SHAPE[1], dtype=bool), (*SHAPE, SHAPE[1])) * 1.0
    outcomes = np.asarray(bl.preferences.outcome_law(TRUTH, jnp.asarray(law / law.sum())))
    counts = np.random.default_rng(seed).multinomial(num_pairs, outcomes.ravel() / outcomes.sum(), num_sets)
    return counts.reshape(num_sets, *outcomes.shape) * 1.0


def true_laws(found, wins):
    """Pair laws (m, S, A, A) of the samplers compared, were theta* known; the data's own pairs are given."""
    laws = plans._pair_laws(found.env, wins, known=True) | {"on_policy": bl.samplers.on_policy(TRUTH, TRUTH.log_target)}
    assert tuple(laws) == found.samplers
    return jnp.stack(list(laws.values()))


def test_an_unknown_reward_changes_nothing_else():
    np.testing.assert_allclose(UNKNOWN.log_reference, TRUTH.log_reference, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(UNKNOWN.features, TRUTH.features)


def test_plug_in_prices_tend_to_those_of_the_true_parameter():
    (wins,) = drawn_wins(0, 10**8)
    found = planner.plan(UNKNOWN, wins)
    assert (found.estimate, found.existence) == ("maximum likelihood", "exists")
    price, error = found.assessment.price, found.assessment.price_se
    wanted = np.asarray(jax.vmap(lambda law: bl.theory.label_price(TRUTH, law))(true_laws(found, wins)))
    # 4 standard errors, and their square relative to the price: the delta method's next order.
    allowed = 4 * error + (4 * error) ** 2 / wanted
    assert (np.abs(price - wanted) <= allowed).all()
    assert (allowed < 0.01 * wanted).all()  # so an error of 1% in a price is caught
    expected = bl.theory.predicted_kl_pooled(TRUTH, 1e8 * bl.theory.fisher_information(TRUTH, wins / 1e8))
    error = found.assessment.predicted_kl_se
    assert abs(found.assessment.predicted_kl - expected) <= 4 * error + (4 * error) ** 2 / expected


def test_standard_errors_are_those_of_repeated_data():
    seeds, num_pairs, kl = 256, 20_000, jnp.asarray(1e-5, float)
    wins = drawn_wins(1, num_pairs, seeds)
    found = planner.plan(UNKNOWN, wins[0])
    laws = true_laws(found, wins[0])
    follows = jnp.asarray([name == "on_policy" for name in found.samplers])

    def assessed(wins, params):
        drawn = laws.at[0].set(wins / num_pairs)
        return plans._assess(UNKNOWN.replace(target_params=params), jnp.sum(wins), drawn, kl, jnp.zeros(()), follows)

    plugged = [assessed(data, plans._fit(UNKNOWN, data, jnp.zeros(())).params) for data in wins]
    exact = [assessed(data, TARGET) for data in wins]
    for name in ("price", "labels_needed", "predicted_kl"):
        found, wanted, error = (
            np.asarray([getattr(value, column) for value in values])
            for values, column in ((plugged, name), (exact, name), (plugged, f"{name}_se"))
        )
        # The mean square of 256 standard normal numbers is 1 up to 4 sqrt(2 / 256).
        assert (np.abs(np.mean(np.square((found - wanted) / error), axis=0) - 1) < 4 * np.sqrt(2 / seeds)).all(), name


def test_the_price_of_even_answers_has_the_spread_of_the_second_order():
    """Two items: the on-policy price is 1 / (2 p (1 - p)) = 1 + cosh(theta), stationary at even answers."""
    items = planner.problem(np.eye(2)[None])
    for won, price in ((6, 2.0), (7, 72 / 35), (8, 2.25), (9, 8 / 3), (11, 72 / 11)):
        found = planner.plan(items, np.asarray([[[0.0, won], [12.0 - won, 0.0]]]))
        on_policy = found.samplers.index("on_policy")
        theta, variance = np.log(won / (12 - won)), 12 / (won * (12 - won))
        wanted = np.sqrt(np.sinh(theta) ** 2 * variance + np.cosh(theta) ** 2 * variance**2 / 2)
        assert found.assessment.price[on_policy] == pytest.approx(price, rel=1e-9)
        assert found.assessment.price_se[on_policy] == pytest.approx(wanted, rel=1e-9)
    # The exact law of the plug-in price of n labels at even odds, by summation. Its standard deviation is the second
    # order up to a relative O(1 / n): cosh, logit and the binomial law each add a few multiples of that.
    labels = 10_000
    won = np.arange(1, labels)
    plugged = 2 + (won - labels / 2) ** 2 / (won * (labels - won) / 2)  # 1 / (2 p (1 - p)), without cancellation
    law = stats.binom.pmf(won, labels, 0.5)
    found = planner.plan(items, np.asarray([[[0.0, labels / 2], [labels / 2, 0.0]]]), kl=1e-6)
    exact = np.sqrt(law @ plugged**2 - (law @ plugged) ** 2)
    assert found.assessment.price_se[on_policy] == pytest.approx(exact, rel=10 / labels)


def test_standard_errors_under_a_ridge_are_those_of_ridge_estimates():
    """By summation over all answers of two items: theta_hat solves n (w/n - sigma(theta)) = ridge theta.

    Strengths of +- theta / 2 are one of theta under half the ridge.
    """
    labels, ridge, theta = 4000, 800.0, 0.7
    items = planner.problem(np.eye(2)[None])

    def estimate(won):
        low, high = np.full(np.shape(won), -20.0), np.full(np.shape(won), 20.0)
        for _ in range(80):
            middle = (low + high) / 2
            over = labels / (1 + np.exp(-middle)) + ridge * middle > won
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return low

    # Answers whose ridge estimate is theta: the truth is the logit of their share.
    won = labels / (1 + np.exp(-theta)) + ridge * theta
    outcomes = np.arange(labels + 1)
    law = stats.binom.pmf(outcomes, labels, won / labels)
    plugged = 1 + np.cosh(estimate(outcomes))
    exact = np.sqrt(law @ (plugged - law @ plugged) ** 2)
    found = planner.plan(items, np.asarray([[[0.0, labels - won], [won, 0.0]]]), ridge=2 * ridge)
    assert found.params == pytest.approx([-theta / 2, theta / 2], abs=1e-8)
    # The delta method takes the labels' variance at theta_hat, where the truth's is that of won / labels.
    share, fitted = won / labels, 1 / (1 + np.exp(-theta))
    allowed = np.sqrt(fitted * (1 - fitted) / (share * (1 - share)))
    error = found.assessment.price_se[found.samplers.index("on_policy")]
    assert error / allowed == pytest.approx(exact, rel=10 / np.sqrt(labels))


def test_the_second_order_of_three_items_is_that_of_differences():
    """A cycle of even answers: every price is stationary, and the Hessian has an off-diagonal part."""
    items = planner.problem(np.concatenate([np.zeros((1, 2)), np.eye(2)])[None])
    wins = 30.0 * (1 - np.eye(3))[None]
    found = planner.plan(items, wins)
    phi = np.asarray(items.features)[0]

    def moments(theta, law=None):
        policy = np.exp(phi @ theta) / np.exp(phi @ theta).sum()
        law = np.outer(policy, policy) if law is None else law
        gaps = (phi[:, None] - phi[None]) @ theta
        weighted = law / (2 + np.exp(gaps) + np.exp(-gaps))
        z = phi[:, None] - phi[None]
        centred = phi - policy @ phi
        return np.einsum("a,ai,aj->ij", policy, centred, centred), np.einsum("ab,abi,abj->ij", weighted, z, z)

    def price(theta, law=None):
        covered, information = moments(np.asarray(theta), law)
        return np.trace(np.linalg.solve(information, covered))

    step = 1e-3
    uniform = np.full((3, 3), 1 / 9)
    covariance = np.linalg.inv(180 * moments(np.zeros(2), (1 - np.eye(3)) / 6)[1])
    for name, law in (("on_policy", None), ("uniform", uniform)):
        hessian = np.asarray(
            [
                [
                    sum(s * t * price(step * (s * e + t * f), law) for s in (1, -1) for t in (1, -1)) / (4 * step**2)
                    for f in np.eye(2)
                ]
                for e in np.eye(2)
            ]
        )
        product = hessian @ covariance
        wanted = np.sqrt(np.trace(product @ product) / 2)
        # Differences err by step^2 in relative terms, a few times over, and by rounding / step^2.
        error = found.assessment.price_se[found.samplers.index(name)]
        assert error == pytest.approx(wanted, rel=20 * step**2)


@pytest.mark.parametrize("rank", [1, 7, 8, 20])
def test_pairs_of_directions_sum_to_the_trace_of_a_square(rank):
    root = np.random.default_rng(rank).normal(size=(rank, rank))
    matrix = root + root.T
    first, second, weights = map(np.asarray, prices._direction_pairs(rank, jnp.zeros(()).dtype))
    found = weights @ np.einsum("ki,ij,kj->k", first, matrix, second) ** 2
    wanted = np.trace(matrix @ matrix)
    # u'Mv of Gaussian u, v has the fourth moment 3 (tr(M^2)^2 + 2 tr(M^4)).
    spread = np.sqrt(2 * wanted**2 + 6 * np.trace(matrix @ matrix @ matrix @ matrix)) / np.sqrt(len(weights))
    assert found == pytest.approx(wanted, **({"rel": 1e-12} if rank <= 7 else {"abs": 4 * spread}))


def test_labels_needed_on_the_chain_in_closed_form():
    chain = bl.instances.chain(target=1.0)
    p = 1 / (1 + np.exp(-1.0))
    variance = p * (1 - p)
    law = bl.samplers.on_policy(chain, chain.log_target)
    # V = variance; a label shows the pair with probability 2 variance and then carries `variance`.
    information, kl = 3.0, 0.01
    wanted = (variance / (2 * kl) - information) / (2 * variance**2)
    found = LABELS_NEEDED(chain, jnp.asarray([[information]]), law, kl)
    assert found == pytest.approx(wanted, rel=1e-12)
    (after,) = planner.pooled_kl(chain, jnp.asarray([[information]]), law, jnp.asarray([wanted]))
    assert after == pytest.approx(kl, rel=1e-12)
    assert LABELS_NEEDED(chain, jnp.asarray([[1e6]]), law, kl) == 0
    nothing = jnp.zeros((1, 1))
    assert LABELS_NEEDED(chain, nothing, law, kl) == pytest.approx(
        float(bl.theory.labels_needed(chain, law, kl)), rel=1e-12
    )
    self_pairs = jnp.asarray([[[0.5, 0.0], [0.0, 0.5]]])
    assert LABELS_NEEDED(chain, nothing, self_pairs, kl) == np.inf


def test_a_direction_that_a_sampler_never_shows_must_be_in_the_data():
    # Two chains side by side, one per context: V = diag(v, v) / 2, and the sampler only asks about the first.
    both = bl.Environment.create([[[0.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]], target_params=[0.0, 0.0])
    law = jnp.zeros((2, 2, 2)).at[0, 0, 1].set(1.0)
    information = jnp.diag(jnp.asarray([1.0, 5.0]))
    rest = 0.5 * 0.125 / 5.0  # of the second chain, for ever
    wanted = (0.5 * 0.125 / 0.01 - 1.0) / 0.25
    found = LABELS_NEEDED(both, information, law, rest + 0.01)
    assert found == pytest.approx(wanted, rel=1e-9)
    assert LABELS_NEEDED(both, information, law, rest) == np.inf
    assert LABELS_NEEDED(both, jnp.diag(jnp.asarray([1.0, 0.0])), law, 10.0) == np.inf


@pytest.mark.parametrize(("num_pairs", "beta"), [(1, 1.0), (7, 0.7), (250, 2.0), (2503, 1.0)])
def test_the_next_pairs_are_whole_labels_that_sum_and_beat_every_sampler(num_pairs, beta):
    found = planner.plan(UNKNOWN.replace(beta=beta), example_wins(), num_next=num_pairs)
    assert found.rule == planner.GREEDY
    assert found.next_pairs.sum() == num_pairs
    assert (found.next_pairs >= 0).all()
    assert (np.tril(found.next_pairs) == 0).all()
    law = jnp.asarray(found.next_pairs / num_pairs)
    information = found.num_comparisons * bl.theory.fisher_information(
        found.env, example_wins() / found.num_comparisons
    )
    (after,) = planner.pooled_kl(found.env, information, law, jnp.asarray([float(num_pairs)]))
    assert found.next_kl == pytest.approx(float(after), rel=1e-10)
    # The bound is a proof that greedy purchase is all but optimal.
    assert found.next_kl_bound <= found.next_kl <= 1.02 * found.next_kl_bound
    assert (found.kl_after >= found.next_kl_bound).all()


def test_every_lot_goes_to_the_pair_that_lowers_the_predicted_kl_most():
    """By recomputation of tr(V P^{-1}) for every pair, in NumPy; lots of two labels, and little known at the start."""
    num_pairs = 2 * 1000
    start = 0.5 * np.eye(3)
    found = np.asarray(jax.jit(planner.greedy_pairs)(TRUTH, jnp.asarray(start), float(num_pairs)))
    reward = np.asarray(TRUTH.reward)
    chosen = [np.triu_indices(5, 1)] * 4
    rows = [(x, i, j) for x, (first, second) in enumerate(chosen) for i, j in zip(first, second, strict=True)]
    z = np.asarray([FEATURES[x, i] - FEATURES[x, j] for x, i, j in rows])
    gap = np.asarray([reward[x, i] - reward[x, j] for x, i, j in rows])
    added = 2 * (float(TRUTH.beta) ** 2 / (2 + np.exp(gap) + np.exp(-gap)))[:, None, None] * z[:, :, None] * z[:, None]
    basis = np.asarray(TRUTH.difference_basis)
    added = np.einsum("di,pde,ej->pij", basis, added, basis)
    covered, precision, wanted = np.asarray(bl.coverage.target_covariance(TRUTH)), start, np.zeros_like(found)
    for _ in range(1000):
        left = np.einsum("ij,pji->p", covered, np.linalg.inv(precision + added))
        best = int(left.argmin())
        wanted[rows[best]] += 2
        precision = precision + added[best]
    # Near-ties may part by rounding: then the pairs differ, and their worth does not.
    assert np.abs(found - wanted).sum() <= 0.01 * num_pairs
    value = precision_of(found, rows, added, start)
    assert np.trace(covered @ np.linalg.inv(value)) == pytest.approx(
        np.trace(covered @ np.linalg.inv(precision)), rel=1e-6
    )


def precision_of(bought, rows, added, start):
    return start + sum(bought[row] / 2 * one for row, one in zip(rows, added, strict=True))


def test_no_pair_is_bought_in_a_context_that_does_not_matter():
    env = UNKNOWN.replace(context_probs=[0.0, 0.5, 0.5, 0.0])
    for wins in (example_wins(), np.eye(5)[None, 0] * np.ones((4, 5, 1))):  # with and without an estimate
        found = planner.plan(env, wins)
        assert (found.next_pairs[[0, 3]] == 0).all()
        assert found.next_pairs.sum() == 100


def test_the_curve_passes_through_the_labels_needed():
    found = planner.plan(UNKNOWN, example_wins(), kl=0.005)
    for needed, curve in zip(found.assessment.labels_needed, found.curve_kl, strict=True):
        assert found.curve_labels[0] < needed < found.curve_labels[-1]
        crossing = np.exp(np.interp(-np.log(0.005), -np.log(curve), np.log(found.curve_labels)))
        assert crossing == pytest.approx(needed, rel=0.01)  # linear interpolation on 60 points


def test_apportionment_keeps_the_quota_and_the_support():
    law = np.zeros((1, 4, 4))
    law[0, 0, 1], law[0, 2, 1], law[0, 2, 3] = 0.5, 0.3, 0.2
    np.testing.assert_array_equal(planner.apportion(law, 10)[0][[0, 1, 2], [1, 2, 3]], [5, 3, 2])
    np.testing.assert_array_equal(planner.apportion(law, 1)[0][[0, 1, 2], [1, 2, 3]], [1, 0, 0])
    random = np.random.default_rng(0).dirichlet(np.full(40, 0.3)).reshape(2, 4, 5)
    random = np.concatenate([random, np.zeros((2, 1, 5))], axis=1)
    shares = np.triu(random + random.swapaxes(1, 2), 1)
    support = (shares > 0).sum()
    for num_pairs in (3, int(support), 1000):
        counts = planner.apportion(random, num_pairs)
        assert counts.sum() == num_pairs
        assert (counts[shares == 0] == 0).all()
        assert num_pairs < support or (counts[shares > 0] >= 1).all()


def test_separable_data_have_no_estimate_and_get_a_design():
    wins = np.zeros((*SHAPE, SHAPE[1]))
    wins[0, 1, 0] = wins[1, 2, 3] = wins[2, 0, 4] = 1.0
    found = planner.plan(UNKNOWN, wins, num_next=60)
    assert (found.estimate, found.existence, found.rule) == ("none", "separable", planner.DESIGNED)
    assert "on_policy" not in found.samplers
    assert np.isinf(found.assessment.price).all()
    assert found.next_pairs.sum() == 60
    bought = bl.theory.leverage(UNKNOWN, jnp.asarray(found.next_pairs / 60))
    # The design's leverage is the rank; rounding to 60 labels on at most 6 pairs costs at most 6 / 60 of each share.
    assert found.leverage[found.samplers.index("triple")] == pytest.approx(3.0, rel=1e-8)
    assert bought <= 3.0 / (1 - 6 / 60)

    ridged = planner.plan(UNKNOWN, wins, num_next=60, ridge=1.0)
    assert (ridged.estimate, ridged.existence, ridged.rule) == ("ridge", "separable", planner.GREEDY)
    assert np.isfinite(ridged.assessment.price[1:]).all()
    assert np.isinf(ridged.assessment.price_se).all()
    assert np.isfinite(ridged.next_kl)


def test_data_that_miss_a_direction_say_so():
    wins = np.zeros((*SHAPE, SHAPE[1]))
    wins[0, 0, 1] = wins[0, 1, 0] = 20.0
    found = planner.plan(UNKNOWN, wins)
    assert (found.estimate, found.existence) == ("none", "undetermined")
    assert found.leverage[0] == np.inf


def test_a_buyer_of_the_recommended_pairs_beats_the_on_policy_buyer():
    """Staircase, 300 labels of pi_0 x pi_0, then three batches of 200, replanned or on-policy without self-pairs.

    The ridge is small: one of 1 knows enough of a staircase to hide the difference at so few labels. Three settings
    tried before this one, all with ridge 1, showed differences of 1.6, 3.6 and 1.0 standard errors.
    """
    num_stairs, seeds, labels, ridge = 4, 400, 200, 0.1
    env = bl.instances.staircase(num_stairs, step=1.5, start=1.0)
    rng = np.random.default_rng(0)
    win_probs = np.asarray(bl.preferences.bradley_terry(env))[0]

    def bought(pairs):
        """Win matrices (seeds, 1, A, A) of whole labels per unordered pair (seeds, A, A)."""
        won = rng.binomial(pairs.astype(int), win_probs)
        return (won + (pairs - won).swapaxes(1, 2))[:, None]

    def on_policy(log_policies, num_pairs):
        laws = np.triu(np.exp(log_policies[:, 0, :, None] + log_policies[:, 0, None, :]), 1)
        laws = (laws / laws.sum(axis=(1, 2), keepdims=True)).reshape(seeds, -1)
        return rng.multinomial(num_pairs, laws).reshape(seeds, num_stairs + 1, num_stairs + 1).astype(float)

    @jax.jit
    @jax.vmap
    def replan(wins):
        params = bl.estimators.fit(env, wins, ridge=ridge).params
        fitted = env.replace(target_params=params)
        in_hand = jnp.sum(wins) * bl.theory.fisher_information(fitted, wins / jnp.sum(wins))
        pairs = planner.greedy_pairs(fitted, in_hand + ridge * jnp.eye(num_stairs), labels)[0]
        log_policy = env.log_policy(params)
        return pairs, log_policy, bl.metrics.kl_target(env, log_policy)

    start = bought(on_policy(np.broadcast_to(env.log_initial, (seeds, 1, num_stairs + 1)), 300))
    planned = refreshed = start
    for _ in range(3):
        planned = planned + bought(np.asarray(replan(planned)[0]))
        refreshed = refreshed + bought(on_policy(np.asarray(replan(refreshed)[1]), labels))
    assert (planned.sum(axis=(1, 2, 3)) == 900).all()
    assert (refreshed.sum(axis=(1, 2, 3)) == 900).all()
    saved = np.asarray(replan(refreshed)[2] - replan(planned)[2])
    error = saved.std(ddof=1) / np.sqrt(seeds)
    assert saved.mean() > 4 * error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kl": 0.0}, "kl must be positive and finite; got 0.0"),
        ({"num_next": 2.5}, "num_next must be a whole number of at least 1; got 2.5"),
        ({"ridge": -1.0}, "ridge must be non-negative and finite; got -1.0"),
        ({"wins": np.ones((4, 5))}, r"wins must be \(4, 5, 5\); got \(4, 5\)"),
        ({"wins": np.zeros((4, 5, 5))}, "wins must be non-negative, not all zero; got values from 0.0 to 0.0"),
    ],
)
def test_the_library_names_a_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        planner.plan(UNKNOWN, **({"wins": np.ones((4, 5, 5))} | arguments))
