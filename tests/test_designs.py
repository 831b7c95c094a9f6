"""Designs prove themselves: every certificate is recomputed here by listing all differences in NumPy."""

import functools

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_environment

import banditlab as bl
from banditlab.designs import active_set, caratheodory, interior_point, leverage
from banditlab.designs.pairs import Problem

GAP = 1e-9
# The solver's certificate and this file's agree up to rounding, amplified by condition numbers below 1e3.
ROUNDING = 1e-11
SHAPE = (4, 6, 3)
NAMES = ("triple", "joint", "conditional_pairs", "conditional_nodes")


def _traced_gap(function):
    return jax.jit(lambda env, gap: function(env, gap=gap))


# One compilation per design: every test uses environments of one shape.
SOLVE = {name: _traced_gap(getattr(bl.designs, name)) for name in NAMES}
ORACLE = {
    name: _traced_gap(functools.partial(bl.designs.l_optimal, constraint=name)) for name in ("triple", "conditional")
}


def differences(features):
    """(S, A * A, d) all within-context differences, one by one."""
    return (features[:, :, None, :] - features[:, None, :, :]).reshape(features.shape[0], -1, features.shape[2])


def pair_moment(features, pair_law):
    z = differences(features)
    return np.einsum("xp,xpi,xpj->ij", pair_law.reshape(z.shape[:2]), z, z)


def node_moment(features, weights):
    mean = np.einsum("xa,xad->xd", weights / weights.sum(1, keepdims=True), features)
    centred = features - mean[:, None, :]
    return np.einsum("xa,xai,xaj->ij", weights, centred, centred), centred


def squares(vectors, moment):
    """v' moment^{-1} v for vectors (..., d)."""
    return np.einsum("...i,...i->...", vectors, np.linalg.solve(moment, vectors[..., None])[..., 0])


def certificate(name, features, weights, context_probs):
    """Left side of Proposition 6 / d - 1, for weights that may be anything."""
    features, weights, context_probs = map(np.asarray, (features, weights, context_probs))
    if name in ("triple", "conditional_pairs"):
        values = squares(differences(features), pair_moment(features, weights)).max(axis=1)
    else:
        moment, centred = node_moment(features, weights)
        values = squares(centred, moment).max(axis=1)
    free = name in ("triple", "joint")
    return (values.max() if free else context_probs @ values) / features.shape[2] - 1


def log_volume(name, features, weights):
    features, weights = np.asarray(features), np.asarray(weights)
    pairs = name in ("triple", "conditional_pairs")
    moment = pair_moment(features, weights) if pairs else node_moment(features, weights)[0]
    return np.linalg.slogdet(moment)[1]


@pytest.fixture(scope="module")
def env():
    return random_environment(0, SHAPE)


@pytest.mark.parametrize("name", NAMES)
def test_gap_certifies_the_design_over_all_pairs_and_nodes(env, name):
    design = SOLVE[name](env, GAP)
    gap = certificate(name, env.features, design.weights, env.context_probs)
    assert design.converged
    # From below this is the Kiefer-Wolfowitz equality: no design brings the left side under d.
    assert -ROUNDING < gap < GAP + ROUNDING
    np.testing.assert_allclose(design.duality_gap, gap, atol=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
def test_design_is_a_law_with_the_prompts_it_claims(env, name):
    design = SOLVE[name](env, GAP)
    law = np.asarray(design.pair_law)
    assert law.min() >= 0
    np.testing.assert_allclose(law, np.swapaxes(law, 1, 2), atol=1e-16)
    np.testing.assert_allclose([law.sum(), np.sum(design.weights)], 1, atol=1e-14)
    np.testing.assert_allclose(law.sum((1, 2)), design.context_probs, atol=1e-15)
    np.testing.assert_allclose(law.sum(2), design.context_probs[:, None] * design.action_probs, atol=1e-15)
    if name.startswith("conditional"):
        np.testing.assert_allclose(design.context_probs, env.context_probs, atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_certificate_fails_on_a_perturbed_design(env, name):
    weights = np.asarray(SOLVE[name](env, GAP).weights)
    uniform = np.full_like(weights, 1 / weights[0].size) * weights.reshape(len(weights), -1).sum(1).reshape(
        (-1,) + (1,) * (weights.ndim - 1)
    )
    assert certificate(name, env.features, 0.999 * weights + 0.001 * uniform, env.context_probs) > 1e-5


def _conic_value(name, features, context_probs):
    """The optimal log det as a conic programme; for nodes V is the Schur complement of its moments."""
    num_contexts, num_actions, size = features.shape
    moment = cp.Variable((size, size), PSD=True)
    if name in ("triple", "conditional_pairs"):
        z = differences(features)
        weights = cp.Variable(z.shape[:2], nonneg=True)
        constraints = [moment == sum(z[x].T @ cp.diag(weights[x]) @ z[x] for x in range(num_contexts))]
    else:
        weights = cp.Variable((num_contexts, num_actions), nonneg=True)
        parts = [cp.Variable((size, size), symmetric=True) for _ in range(num_contexts)]
        constraints = [moment == sum(parts)]
        for x, part in enumerate(parts):
            first = cp.reshape(features[x].T @ weights[x], (size, 1), order="F")
            total = cp.reshape(cp.sum(weights[x]), (1, 1), order="F")
            second = features[x].T @ cp.diag(weights[x]) @ features[x]
            constraints.append(cp.bmat([[second - part, first], [first.T, total]]) >> 0)
    free = name in ("triple", "joint")
    constraints.append(cp.sum(weights) == 1 if free else cp.sum(weights, axis=1) == context_probs)
    return cp.Problem(cp.Maximize(cp.log_det(moment)), constraints).solve(solver=cp.CLARABEL)


@pytest.mark.parametrize("name", NAMES)
def test_value_agrees_with_a_conic_solver(env, name):
    value = _conic_value(name, np.asarray(env.features), np.asarray(env.context_probs))
    # Clarabel stops at a relative gap of 1e-8 in an objective of order ten.
    np.testing.assert_allclose(log_volume(name, env.features, SOLVE[name](env, GAP).weights), value, atol=1e-6)


@pytest.mark.parametrize("constraint", ["triple", "conditional"])
def test_l_optimal_oracle_agrees_with_a_conic_solver(env, constraint):
    z = differences(np.asarray(env.features))
    margins = differences(np.asarray(env.reward)[..., None])[..., 0]
    scaled = z * (float(env.beta) / (2 * np.cosh(margins / 2)))[..., None]  # sigma'(t) = 1 / (2 cosh(t/2))^2
    target = np.exp(env.log_target)
    covariance, _ = node_moment(np.asarray(env.features), np.asarray(env.context_probs)[:, None] * target)
    weights = cp.Variable(z.shape[:2], nonneg=True)
    information = sum(scaled[x].T @ cp.diag(weights[x]) @ scaled[x] for x in range(len(z)))
    columns = np.linalg.cholesky(covariance).T
    price = sum(cp.matrix_frac(column, information) for column in columns)
    free = constraint == "triple"
    masses = cp.sum(weights) == 1 if free else cp.sum(weights, axis=1) == np.asarray(env.context_probs)
    value = cp.Problem(cp.Minimize(price), [masses]).solve(solver=cp.CLARABEL)

    design = ORACLE[constraint](env, 1e-8)
    law = np.asarray(design.pair_law).reshape(z.shape[:2])
    found = np.einsum("xp,xpi,xpj->ij", law, scaled, scaled)
    assert design.converged
    np.testing.assert_allclose(np.trace(np.linalg.solve(found, covariance)), value, rtol=1e-6)


def test_centred_design_bounds_every_pair_and_the_target(env):
    features, size = np.asarray(env.features), SHAPE[2]
    joint, triple = SOLVE["joint"](env, GAP), SOLVE["triple"](env, GAP)
    moment, _ = node_moment(features, np.asarray(joint.weights))
    # Both actions from nu(.|x): the pair law's moment matrix is 2 V (I1) ..
    np.testing.assert_allclose(pair_moment(features, np.asarray(joint.pair_law)), 2 * moment, rtol=1e-10)
    # .. and no pair has more than twice the optimal leverage (Proposition 6 b).
    assert squares(differences(features), 2 * moment).max() <= 2 * size * (1 + GAP)
    target, _ = node_moment(features, np.asarray(env.context_probs)[:, None] * np.exp(env.log_target))
    found = pair_moment(features, np.asarray(triple.pair_law))
    assert np.trace(np.linalg.solve(found, target)) <= size / 2 * (1 + GAP)


def _degenerate(kind):
    rng = np.random.default_rng(1)
    features = rng.standard_normal(SHAPE)
    if kind == "duplicate actions":
        features[:, 3:] = features[:, :3]
    elif kind == "repeated contexts":
        features[1:] = features[0]
    elif kind == "a context without differences":
        features[2] = features[2, :1]
    elif kind == "an outlier":
        features[0, 0] *= 1e4
    elif kind == "a grid full of ties":
        features = rng.integers(-1, 2, SHAPE).astype(float)
    return features


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "kind",
    ["duplicate actions", "repeated contexts", "a context without differences", "an outlier", "a grid full of ties"],
)
def test_degenerate_features_are_certified_too(name, kind):
    env = random_environment(1, SHAPE, features=_degenerate(kind))
    design = SOLVE[name](env, GAP)
    assert design.converged
    # Listing differences of an outlier of size 1e4 loses four digits more than the Gram table of whitened features.
    assert abs(certificate(name, env.features, design.weights, env.context_probs)) < GAP + 1e-8 * (kind == "an outlier")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("rotate", "smallest"), [(False, 1e-8), (True, 1e-6)])
def test_designs_do_not_see_condition_numbers(env, name, rotate, smallest):
    scales = np.diag([1.0, smallest**0.5, smallest])
    left, right = (np.linalg.qr(np.random.default_rng(k).standard_normal((3, 3)))[0] for k in (2, 3))
    transform = left @ scales @ right if rotate else scales
    changed = random_environment(0, SHAPE, features=np.asarray(env.features) @ transform)
    design = SOLVE[name](changed, GAP)
    assert design.converged
    # Leverages are invariant, so certify in the good coordinates. Rounding phi T alone moves them by eps * 1e6.
    assert abs(certificate(name, env.features, design.weights, env.context_probs)) < GAP


@pytest.mark.parametrize("name", ["triple", "joint"])
def test_vmap_over_environments_equals_a_loop(name):
    envs = [random_environment(seed, SHAPE) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *envs)
    together = jax.jit(jax.vmap(getattr(bl.designs, name)))(stacked)
    for lane, env in enumerate(envs):
        alone = SOLVE[name](env, GAP)
        assert together.converged[lane]
        # Two weightings within the gap of the optimum differ by about its square root.
        np.testing.assert_allclose(together.pair_law[lane], alone.pair_law, atol=10 * GAP**0.5)


def test_contexts_of_probability_zero_are_left_out(env):
    probs = np.array([0.5, 0.0, 0.25, 0.25])
    design = SOLVE["triple"](env.replace(context_probs=probs), GAP)
    assert design.pair_law[1].sum() == 0
    kept = np.array([0, 2, 3])
    assert abs(certificate("triple", env.features[kept], design.weights[kept], probs[kept])) < GAP


def test_two_arms_share_the_weight_at_once():
    design = SOLVE["joint"](bl.instances.chain(), GAP)
    np.testing.assert_allclose(design.weights, [[0.5, 0.5]], atol=1e-15)
    assert design.num_steps <= 2


def test_tabular_design_is_uniform_on_the_rank_coordinates():
    env = bl.instances.tabular(np.linspace(0, 1, 5)[None])
    design = SOLVE["joint"](env, GAP)
    assert env.rank == 4
    np.testing.assert_allclose(design.weights, np.full((1, 5), 0.2), atol=1e-12)


def test_a_full_buffer_is_reduced_and_the_design_still_certified():
    features = _degenerate("repeated contexts")
    allowed = np.ones(SHAPE[:2], bool)
    scale = np.broadcast_to(1.0 - np.eye(SHAPE[1]), (SHAPE[0], SHAPE[1], SHAPE[1]))
    problem = Problem(leverage.whiten(jnp.array(features), jnp.array(allowed)), jnp.array(scale), jnp.ones(1), None)
    # One slot beyond the support bound: copies of the optimal pairs fill the buffer at once.
    solution = jax.jit(active_set.solve, static_argnames="num_entering")(problem, GAP, jnp.int32(300), num_entering=1)
    assert abs(certificate("triple", features, solution.pair_law, None)) < GAP + ROUNDING


def test_caratheodory_keeps_the_moment_matrix_and_the_masses_on_few_atoms():
    rng = np.random.default_rng(4)
    rows, weights, group = rng.standard_normal((30, 3)), rng.dirichlet(np.ones(30)), np.arange(30) % 2
    weights[:2] = 0.0
    member = (group == np.arange(2)[:, None]) * (weights > 0.0)
    masses = member @ weights
    bound = caratheodory.support_bound(3, 2)
    constraint = interior_point.Constraint(jnp.array(member * 1.0), jnp.array(masses))
    reduce_support = jax.jit(caratheodory.reduce_support, static_argnames="bound")
    reduced = np.asarray(reduce_support(jnp.array(weights), jnp.array(rows), constraint, bound=bound))
    assert bound == 8
    assert (reduced > 0).sum() <= bound
    assert reduced.min() >= 0
    np.testing.assert_allclose(member @ reduced, masses, atol=1e-10)
    np.testing.assert_allclose((rows.T * reduced) @ rows, (rows.T * weights) @ rows, atol=1e-10)


def test_an_exhausted_budget_is_reported_and_the_design_stays_valid(env):
    design = SOLVE["triple"](env, -1.0)  # traced, so not rejected: a gap that cannot be reached
    assert not design.converged
    # Either the steps run out, or rounding is all that is left of the gap: no less of it is ever certified.
    smallest = 64 * np.finfo(float).eps
    assert design.num_steps == bl.designs.MAX_STEPS or design.duality_gap == smallest
    assert design.duality_gap >= smallest
    assert certificate("triple", env.features, design.weights, None) < 1e-8
    few = jax.jit(lambda env: bl.designs.triple(env, max_steps=2))(env)
    assert (int(few.num_steps), bool(few.converged)) == (2, False)


def test_an_oracle_without_information_says_so():
    env = random_environment(0, SHAPE, target_params=1e6 * np.ones(3))
    design = ORACLE["triple"](env, 1e-6)
    assert not design.converged
    assert np.isinf(design.duality_gap)
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in design._replace(duality_gap=jnp.zeros(())))


@pytest.mark.parametrize("gap", [0.0, -1e-9, float("nan")])
def test_gap_must_be_positive(env, gap):
    with pytest.raises(ValueError, match="gap must be positive"):
        bl.designs.triple(env, gap=gap)


def test_constraint_must_be_known(env):
    with pytest.raises(ValueError, match="constraint"):
        bl.designs.l_optimal(env, constraint="joint")
