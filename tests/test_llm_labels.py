"""Who draws and who labels: oracles, and pools of candidates with their design."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from llm_tables import BEST, KEY, REFERENCE, TASK, begin, draw, equal, step
from scipy import optimize, special

from banditlab import llm
from banditlab.llm import algorithms, oracles
from banditlab.llm.algorithms import pools


@pytest.fixture(scope="module")
def shown():
    """Prompts and two responses to each, any of them."""
    prompt, first, second = np.random.default_rng(8).integers(0, [[3], [4], [4]], (3, 4096)).astype(np.int32)
    return jnp.asarray(prompt), llm.responses(first[:, None]), llm.responses(second[:, None])


@jax.jit
def wins(oracle, model, shown):
    return oracles.compare(oracle, model, TASK, KEY, *shown).wins


def test_a_reward_oracle_never_chooses_the_worse_response(shown):
    prompt, first, second = (np.asarray(leaf) for leaf in (shown[0], shown[1].tokens[:, 0], shown[2].tokens[:, 0]))
    gap = TASK.reward_table[prompt, first] - TASK.reward_table[prompt, second]
    won = np.asarray(wins(oracles.get("reward"), None, shown))
    np.testing.assert_array_equal(won[gap != 0], gap[gap != 0] > 0)
    ties = (gap == 0).sum()
    assert abs(won[gap == 0].sum() - ties / 2) < 4 * math.sqrt(ties / 4)


def test_a_learned_oracle_labels_by_the_ridge_fit_of_its_labels(shown):
    oracle = oracles.learned(num_pairs=512, ridge=0.5)
    pairs = jax.tree.map(lambda leaf: leaf[:512], shown)
    model = jax.jit(oracles.fit)(oracle, TASK, *pairs)
    weights = np.asarray(model.weights)
    prompt, first, second = (np.asarray(leaf) for leaf in (shown[0], shown[1].tokens[:, 0], shown[2].tokens[:, 0]))

    def penalised(flat):
        table = flat.reshape(3, 4)
        rise = table[prompt[:512], second[:512]] - table[prompt[:512], first[:512]]
        return np.logaddexp(0, rise).sum() + 0.25 * (flat**2).sum()

    np.testing.assert_allclose(weights.ravel(), optimize.minimize(penalised, np.zeros(12)).x, atol=1e-4)
    # Its labels are Bradley-Terry's for rewards of its own.
    model = model._replace(weights=10 * model.weights)
    gap = 10 * (weights[prompt, 0, first] - weights[prompt, 0, second])
    chance = special.expit(gap)
    won = np.asarray(wins(oracle, model, shown))
    assert abs((won - chance).sum()) < 4 * math.sqrt((chance * (1 - chance)).sum())
    up = gap > 0
    assert abs((won - chance)[up].sum()) < 4 * math.sqrt((chance * (1 - chance))[up].sum())
    assert (chance - 0.5)[up].sum() > 4 * math.sqrt(up.sum() / 4)


@pytest.mark.slow
def test_a_learned_oracle_learns_once_from_pairs_of_the_reference():
    algorithm = algorithms.on_policy_dpo(oracle=oracles.learned(num_pairs=4096))
    state = begin(algorithm)
    labels = draw(algorithms.offline_dpo(), REFERENCE, None, jax.random.fold_in(KEY, 2**31 - 1))
    fitted = jax.jit(oracles.fit)(algorithm.oracle, TASK, labels.prompt, *labels.pairs[1:3])
    np.testing.assert_allclose(state.reward_model.weights, fitted.weights, atol=1e-9)
    after, measured = step(algorithm, state)
    equal(after.reward_model, state.reward_model)
    assert int(measured["num_labels"]) == 4096


def test_a_learned_reward_contains_every_reward_of_the_length_alone():
    tokens = np.array([[0, 0, 0], [2, 0, 0], [1, 2, 0], [1, 1, 2], [0, 1, 1]], np.int32)
    mask = np.arange(3)[None] < np.array([0, 1, 2, 3, 3])[:, None]
    features = np.asarray(jax.jit(oracles._indicators, static_argnums=1)(llm.responses(tokens, jnp.asarray(mask)), 3))
    lengths = mask.sum(axis=1)
    wanted = np.array([0.3, -1.0, 2.0, 0.7])
    weights = np.repeat(np.diff(wanted), 3)
    np.testing.assert_allclose(features @ weights, wanted[lengths] - wanted[0], atol=1e-12)
    model = oracles.RewardModel(jnp.asarray(weights.reshape(1, 3, 3)))
    measured = jax.jit(model.reward)(jnp.zeros(5, jnp.int32), llm.responses(tokens, jnp.asarray(mask)))
    np.testing.assert_allclose(measured, features @ weights, atol=1e-12)


# Pools with 1 to 4 distinct candidates of 4.
FIRST = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 3], [0, 1, 2, 3]], np.int32)


def test_the_design_of_a_pool_meets_the_equivalence_theorem_and_stays_within_distinct_candidates():
    distinct = np.arange(4) == FIRST
    found = jax.jit(pools.design)(distinct)
    assert bool(found.converged)
    assert float(found.duality_gap) < 1e-12
    np.testing.assert_allclose(found.context_probs, 0.25)
    assert not np.asarray(found.action_probs)[~distinct].any()
    for own, probs in zip(distinct, np.asarray(found.action_probs), strict=True):
        # ||e_y - nu||^2 in V^{-1} is the rank for every candidate: no gap, by NumPy.
        inverse = np.linalg.pinv(np.diag(probs) - np.outer(probs, probs))
        centred = np.eye(4)[own] - probs
        np.testing.assert_allclose(np.einsum("yi,ij,yj->y", centred, inverse, centred), own.sum() - 1, atol=1e-9)
    laws = found.action_probs[:, :, None] * found.action_probs[:, None] / 4
    np.testing.assert_allclose(found.pair_law, laws, atol=1e-15)


def test_the_design_of_a_pool_is_uniform_however_many_candidates_are_distinct():
    count = 10
    distinct = np.arange(count) < np.arange(1, count + 1)[:, None]
    found = jax.jit(pools.design)(distinct)
    np.testing.assert_allclose(found.action_probs, distinct / distinct.sum(axis=1, keepdims=True), atol=1e-12)


def test_schemes_draw_from_the_policys_candidates_and_the_design():
    pool = pools.Pool(None, None, jnp.asarray(FIRST))
    laws = jax.jit(lambda p: {scheme: pools.pair_law(p, scheme) for scheme in pools.SCHEMES})(pool)
    # The second half of a pool is the policy's, counted where the same response first stands.
    policy = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0, 0.5], [0, 0, 0.5, 0.5]])
    distinct = np.arange(4) == FIRST
    uniform = distinct / distinct.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(laws["paired"], policy[:, :, None] * uniform[:, None] / 4, atol=1e-7)
    mixed = policy[:, :, None] * policy[:, None] / 8 + np.asarray(laws["design"]) / 2
    np.testing.assert_allclose(laws["mixture"], mixed, atol=1e-7)


def test_hybrid_pairs_come_from_the_pool_and_share_their_prompts_with_the_other_arms():
    hybrid = draw(algorithms.hybrid_dpo(num_candidates=3), BEST)
    equal(hybrid.prompt, draw(algorithms.reward_distillation(), BEST).prompt)
    prompts, candidates = hybrid.responses
    assert prompts.tokens.shape == (18, 1)
    shown = np.asarray(candidates.tokens).reshape(3, 6)
    pair = [np.asarray(r.tokens)[:, 0] for r in hybrid.pairs[1:3]]
    for x in range(3):
        distinct = np.unique(shown[x])
        rows = np.asarray(hybrid.prompt) == x
        if len(distinct) == 1:
            assert (pair[0][rows] == distinct[0]).all()
            continue
        # Two independent draws from the distinct candidates: labels order them, so a cell is an unordered pair.
        cells = list(itertools.combinations_with_replacement(distinct, 2))
        low, high = np.minimum(*pair)[rows], np.maximum(*pair)[rows]
        counts = np.array([((low == a) & (high == b)).sum() for a, b in cells])
        assert counts.sum() == rows.sum()
        p = np.array([1 if a == b else 2 for a, b in cells]) / len(distinct) ** 2
        assert (abs(counts - rows.sum() * p) <= 4 * np.sqrt(rows.sum() * p * (1 - p))).all()
    table = special.log_softmax(np.asarray(REFERENCE, float), axis=1)
    expected = table[np.asarray(hybrid.prompt), pair[0]] - table[np.asarray(hybrid.prompt), pair[1]]
    np.testing.assert_allclose(hybrid.pairs.log_reference, expected, atol=1e-5)
    flat = np.repeat(np.arange(3), 6), shown.ravel()
    np.testing.assert_allclose(hybrid.log_reference, table[flat], atol=1e-5)
    mixture = (np.exp(table) + special.softmax(np.asarray(BEST, float), axis=1)) / 2
    np.testing.assert_allclose(hybrid.log_sampler, np.log(mixture)[flat], atol=1e-5)
    assert int(hybrid.num_tokens) == 18
