"""Exactness of the drawn counts: every branch against the exact law, and against each other.

Tests of fit reject below p = 1e-5, where no bin expects fewer than 20 counts; means and variances are held to four
standard errors (two-sided 6e-5).
"""

import decimal
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from banditlab.numerics import binomial, multinomial, vectorised

LEVEL = 1e-5
NUM_DRAWS = 60_000

TRIPLE = np.array([0.62, 0.08, 0.3, 0.0, 0.0, 0.0, 0.0])  # eight cells with the dropped one: a lookup at capacity 8
# 49 cells from 0.2 down to 1e-9, with zeros first, last and in between, and some mass missing
UNEVEN = np.concatenate([[0.0], np.geomspace(0.2, 1e-9, 24), [0.0, 0.0], np.linspace(0.001, 0.02, 21), [0.0]])
COMPLETE = UNEVEN / UNEVEN.sum()

# branch -> (labels, capacity) on the triple and on the 49 cells
TRIPLE_BRANCHES = {"labels": 8, "sorted": 16, "heap": None}
BRANCHES = {"labels": (30, 32), "sorted": (800, 1024), "heap": (800, None), "huge heap": (10**12, None)}


@functools.partial(jax.jit, static_argnames=("capacity", "num_draws"))
def draws(seed, probs, num_trials, *, capacity, num_draws):
    keys = jax.random.split(jax.random.key(seed), num_draws)
    return jax.vmap(lambda key: multinomial.draw(key, probs, num_trials, capacity=capacity))(keys)


@jax.jit
def binomial_draws(seed, trials, probs):
    shape = (trials.size, NUM_DRAWS)
    return binomial.draw(jax.random.key(seed), *(jnp.broadcast_to(x[:, None], shape) for x in (trials, probs)))


def draw_cases(seed, cases):
    """(cases, NUM_DRAWS) draws, padded to the longest list of cases: one compilation for every test."""
    padded = [*cases, *[(0, 0.5)] * (len(BINOMIAL_CASES) - len(cases))]
    trials, probs = (np.asarray(x, float) for x in zip(*padded, strict=True))
    return np.asarray(binomial_draws(seed, trials, probs))[: len(cases)]


def fit_p_value(counts, pmf, low):
    """Chi-square of whole numbers against pmf over low, low + 1, ..; rare values are merged into their neighbours."""
    expected = pmf * counts.size
    bins = np.minimum((np.cumsum(expected) - 0.5 * expected) // 40, counts.size // 40 - 1).astype(int)
    _, bins = np.unique(bins, return_inverse=True)
    index = counts.astype(int) - low
    assert index.min() >= 0
    assert index.max() < pmf.size
    observed = np.bincount(bins[index], minlength=bins.max() + 1)
    merged = np.bincount(bins, expected)
    keep = merged >= 20
    observed = np.append(observed[keep], observed[~keep].sum())
    merged = np.append(merged[keep], counts.size - merged[keep].sum())
    if merged[-1] < 20:
        observed = np.append(observed[:-2], observed[-2:].sum())
        merged = np.append(merged[:-2], merged[-2:].sum())
    return stats.chi2.sf(((observed - merged) ** 2 / merged).sum(), merged.size - 1)


BINOMIAL_CASES = [
    (1, 0.37),
    (7, 0.3),
    (20, 0.5),  # mean 10, the last of the sequential search
    (21, 0.5),  # the first of the rejection, both tails short
    (1000, 0.01),
    (1000, 0.0101),
    (10**6, 0.9999900),  # mean 10 or so of the failures
    (10**6, 1.1e-5),
    (60, 0.8),
    (1000, 0.3),
    (10**4, 0.5),
    (10**12, 3e-12),
    (10**12, 1 - 2.0**-36),  # mean 14.6 of the failures
    (10**15, 2e-14),
]


def test_binomial_follows_its_exact_law_in_every_regime():
    samples = draw_cases(0, BINOMIAL_CASES)
    for (trials, prob), sample in zip(BINOMIAL_CASES, samples, strict=True):
        rare = min(prob, 1 - prob)
        rare_sample = trials - sample if prob > 0.5 else sample
        high = int(min(trials, trials * rare + 40 * math.sqrt(trials * rare) + 40))
        values = np.arange(high + 1)
        # the mass from logarithms of ratios of neighbours: exact to 1e-12 even where scipy's beta functions are not
        ratios = np.log(trials - values[:-1]) - np.log(values[1:]) + math.log(rare) - math.log1p(-rare)
        pmf = np.exp(trials * math.log1p(-rare) + np.concatenate([[0.0], np.cumsum(ratios)]))
        assert pmf.sum() == pytest.approx(1, abs=1e-6)
        assert fit_p_value(rare_sample, pmf, 0) > LEVEL, (trials, prob)


def test_fit_notices_a_probability_wrong_by_two_percent():
    # 2% of the mean is 0.06 standard deviations at mean 10, 15 standard errors of 60,000 draws
    for prob in (0.01 * 1.02, 0.0102 * 1.02):
        sample = draw_cases(1, [(1000, prob)])[0]
        assert fit_p_value(sample, stats.binom.pmf(np.arange(101), 1000, prob / 1.02), 0) < LEVEL


@pytest.mark.parametrize(("trials", "prob"), [(10**12, 0.3), (10**12, 0.5), (10**15, 0.7), (10**15, 1e-6)])
def test_binomial_of_many_trials_is_normal_on_every_residue(trials, prob):
    # The skewness moves the distribution function by at most 0.07/deviation <= 2e-6 (first Edgeworth term), 0.1 draw
    # of the 1500 in a bin; the residues are even up to exp(-2 (pi deviation/7)^2).
    sample = draw_cases(2, [(trials, prob)])[0]
    deviation = math.sqrt(trials * prob * (1 - prob))
    bins = np.floor(40 * stats.norm.cdf((sample + 0.5 - trials * prob) / deviation)).astype(int)
    assert stats.chisquare(np.bincount(bins, minlength=40)).pvalue > LEVEL
    assert stats.chisquare(np.bincount((sample % 7).astype(int), minlength=7)).pvalue > LEVEL
    np.testing.assert_array_equal(sample, np.round(sample))


compiled_log_ratio = jax.jit(binomial._log_mass_ratio)


@pytest.mark.parametrize(
    ("trials", "prob"),
    [*itertools.product([25, 10**4, 10**9, 10**12, 10**15], [0.5, 0.41]), (10**15, 2e-14), (10**15, 3e-8)],
)
def test_acceptance_ratio_keeps_its_digits(trials, prob):
    deviation = math.sqrt(trials * prob * (1 - prob))
    mode = math.floor((trials + 1) * prob)
    counts = [min(max(mode + round(z * deviation), 0), trials) for z in (-7, -3, -1, 0.1, 2, 6)]
    computed = compiled_log_ratio(*(np.broadcast_to(np.float64(x), len(counts)) for x in (counts, trials, prob)))
    for count, value in zip(counts, computed, strict=True):
        assert float(value) == pytest.approx(
            exact_log_ratio(count, mode, trials, prob), rel=0, abs=1e-13 + 8 * 2.0**-52 * abs(count - mode)
        )


def exact_log_ratio(count, mode, trials, prob):
    with decimal.localcontext() as context:
        context.prec = 60
        success = decimal.Decimal(prob)

        def log_factorial(k):
            if k < 100:
                return decimal.Decimal(math.factorial(k)).ln()
            z = decimal.Decimal(k)  # ln(2 pi)/2 to 30 digits, the series to 1e-14
            constant = decimal.Decimal("0.918938533204672741780329736406")
            series = 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7)
            return (z + decimal.Decimal("0.5")) * z.ln() - z + constant + series

        def log_mass(k):
            return k * success.ln() + (trials - k) * (1 - success).ln() - log_factorial(k) - log_factorial(trials - k)

        return float(log_mass(count) - log_mass(mode))


def test_binomial_extremes_are_certain():
    cases = [(0, 0.0), (0, 0.4), (0, 1.0), (17, 0.0), (10**15, 0.0), (17, 1.0), (10**15, 1.0)]
    certain = np.array([0, 0, 0, 0, 0, 17, 1e15])
    np.testing.assert_array_equal(draw_cases(0, cases), np.broadcast_to(certain[:, None], (7, NUM_DRAWS)))


def test_one_key_serves_at_most_2_to_23_counts():
    with pytest.raises(ValueError, match="trials must hold at most"):
        jax.eval_shape(
            lambda: binomial.draw(jax.random.key(0), jnp.ones(2**23 + 1), jnp.full(2**23 + 1, 0.5)),
        )


def triple_outcomes(counts):
    """Number of each outcome (k0, k1) of seven labels over three cells."""
    outcomes = [k for k in itertools.product(range(8), repeat=2) if sum(k) <= 7]
    position = {k: i for i, k in enumerate(outcomes)}
    return outcomes, np.bincount([position[k] for k in map(tuple, counts[:, :2].astype(int))], minlength=len(outcomes))


@pytest.mark.parametrize("branch", TRIPLE_BRANCHES)
def test_joint_law_of_three_cells_is_multinomial(branch):
    counts = np.asarray(draws(3, TRIPLE, 7.0, capacity=TRIPLE_BRANCHES[branch], num_draws=NUM_DRAWS))
    outcomes, observed = triple_outcomes(counts)
    full = np.array([(i, j, 7 - i - j) for i, j in outcomes])
    expected = NUM_DRAWS * stats.multinomial.pmf(full, 7, TRIPLE[:3])
    common = expected >= 20
    observed = np.append(observed[common], observed[~common].sum())
    expected = np.append(expected[common], expected[~common].sum())
    assert expected[-1] >= 20
    assert stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), expected.size - 1) > LEVEL


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(TRIPLE_BRANCHES, 2)))
def test_branches_agree_on_the_joint_law(one, other):
    samples = [
        triple_outcomes(np.asarray(draws(seed, TRIPLE, 7.0, capacity=TRIPLE_BRANCHES[b], num_draws=NUM_DRAWS)))[1]
        for seed, b in ((4, one), (5, other))
    ]
    table = np.stack(samples)
    common = table.sum(0) >= 40
    table = np.column_stack([table[:, common], table[:, ~common].sum(1)])
    assert stats.chi2_contingency(table).pvalue > LEVEL


@pytest.mark.parametrize("branch", BRANCHES)
@pytest.mark.parametrize("probs", [UNEVEN, COMPLETE], ids=["missing mass", "complete"])
def test_uneven_table_has_multinomial_totals_and_dispersion(branch, probs):
    num_trials, capacity = BRANCHES[branch]
    counts = np.asarray(draws(6, probs, float(num_trials), capacity=capacity, num_draws=2000))
    np.testing.assert_array_equal(counts, np.round(counts))
    assert counts.min() >= 0
    assert not counts[:, probs == 0].any()
    dropped = num_trials - counts.sum(1)
    if probs is COMPLETE:
        assert not dropped.any()
    cells = np.append(probs, max(1 - probs.sum(), 0) if probs is UNEVEN else 0.0)
    counts = np.column_stack([counts, dropped])
    # the 2000 draws together are one multinomial: rare cells are merged, the rest tested on its own
    expected = cells * num_trials * len(counts)
    rare = expected < 20
    merged = np.append(expected[~rare], expected[rare].sum())
    totals = np.append(counts.sum(0)[~rare], counts.sum(0)[rare].sum())
    fit = ((totals - merged) ** 2 / np.where(merged > 0, merged, 1)).sum()
    assert stats.chi2.sf(fit, np.count_nonzero(merged) - 1) > LEVEL
    # Pearson's statistic of one draw over the cells above 1%: its mean is their number less their mass, exactly
    large = cells > 0.01
    pearson = ((counts - num_trials * cells)[:, large] ** 2 / (num_trials * cells[large])).sum(1)
    error = pearson.std(ddof=1) / math.sqrt(len(pearson))
    assert abs(pearson.mean() - (large.sum() - cells[large].sum())) < 4 * error


def test_heap_resolves_cells_far_below_rounding():
    # 1e-17 beside 1: one minus a cumulative sum, and 1/(1 + 1e-17), would both lose the cell
    probs = np.array([1.0, 1e-17, 0.0, 0.0, 0.0, 0.0, 0.0])
    counts = np.asarray(draws(7, probs, 1e15, capacity=None, num_draws=NUM_DRAWS))
    expected = 1e-17 * 1e15 * NUM_DRAWS
    assert abs(counts[:, 1].sum() - expected) < 4 * math.sqrt(expected)
    assert not counts[:, 2:].any()


@pytest.mark.parametrize("branch", TRIPLE_BRANCHES)
@pytest.mark.parametrize("total", [1 - 2.0**-52, 1.0, 1 + 2.0**-51])
def test_rounding_of_the_total_drops_nobody(branch, total):
    probs = TRIPLE.copy()
    probs[0] += total - probs.sum()
    counts = draws(8, probs, 7.0, capacity=TRIPLE_BRANCHES[branch], num_draws=NUM_DRAWS)
    np.testing.assert_array_equal(counts.sum(1), 7)


@pytest.mark.parametrize("capacity", [1, 64, None])
def test_single_cell_takes_every_label(capacity):
    for num_trials in (0.0, 1.0):
        np.testing.assert_array_equal(draws(0, np.ones(1), num_trials, capacity=capacity, num_draws=4), num_trials)


@pytest.mark.parametrize("branch", TRIPLE_BRANCHES)
def test_lanes_do_not_depend_on_their_neighbours_nor_on_tracing(branch):
    capacity = TRIPLE_BRANCHES[branch]
    num_trials = 7 if capacity else 10**12
    together = draws(6, TRIPLE, float(num_trials), capacity=capacity, num_draws=NUM_DRAWS)
    key = jax.random.split(jax.random.key(6), NUM_DRAWS)[3]
    alone = jax.jit(lambda key: multinomial.draw(key, jnp.asarray(TRIPLE), num_trials, capacity=capacity))(key)
    np.testing.assert_array_equal(alone, together[3])


def test_labels_beyond_num_trials_are_masked_at_any_capacity():
    for num_trials in (0.0, 1.0, 6.0):
        for capacity in (8, 16):
            counts = draws(9, TRIPLE, num_trials, capacity=capacity, num_draws=NUM_DRAWS)
            np.testing.assert_array_equal(counts.sum(1), num_trials)


def test_capacity_is_the_next_power_of_two_until_the_heap_is_faster():
    assert [multinomial.choose_capacity(n, 49) for n in (0, 1, 2, 3, 800, 1024)] == [1, 1, 2, 4, 1024, 1024]
    assert multinomial.choose_capacity(1e5, 49) is None
    assert multinomial.choose_capacity(4000.0, 800) == 4096
    assert multinomial.choose_capacity(1e12, 204_800) is None
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="num_trials must be a finite number >= 0; got"):
            multinomial.choose_capacity(wrong, 49)


def test_bad_tables_and_capacities_are_named():
    with pytest.raises(ValueError, match=r"probs must be \(num_cells,\); got \(2, 2\)"):
        multinomial.draw(jax.random.key(0), jnp.ones((2, 2)) / 4, 5.0, capacity=8)
    with pytest.raises(ValueError, match="num_trials must be at most the capacity 8; got 9"):
        multinomial.draw(jax.random.key(0), jnp.ones(2) / 2, 9, capacity=8)


def test_logarithms_are_within_three_ulps():
    # compiled: the simplifications of a fused computation are part of the claim
    x = np.concatenate([np.geomspace(1e-300, 1e300, 4001), np.linspace(0.5, 2, 4001), 1 + np.geomspace(1e-15, 0.5, 99)])
    np.testing.assert_allclose(jax.jit(vectorised.log)(x), np.log(x), rtol=7e-16, atol=0)
    y = np.concatenate(
        [np.linspace(-0.999, 10, 4001), np.geomspace(1e-300, 1, 99), -np.geomspace(1e-300, 0.9, 99), [0]]
    )
    np.testing.assert_allclose(jax.jit(vectorised.log1p)(y), np.log1p(y), rtol=7e-16, atol=0)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 300])
def test_prefix_sum_and_rank_match_numpy(size):
    values = np.random.default_rng(size).integers(0, 3, size).astype(float)
    table = np.cumsum(values)
    np.testing.assert_array_equal(vectorised.prefix_sum(jnp.asarray(values)), table)
    queries = np.arange(-1.0, table[-1] + 2)
    for inclusive, side in ((True, "right"), (False, "left")):
        below = vectorised.rank(jnp.asarray(table), jnp.asarray(queries), inclusive=inclusive)
        np.testing.assert_array_equal(below, np.searchsorted(table, queries, side))
