"""Preferential G-optimal designs with a certificate (docs/theory.md, Proposition 6), and the L-optimal oracle.

Every design carries its duality gap over ALL pairs or nodes, so it proves itself: gap = (left side of the
equivalence theorem) / d - 1, with d the rank of the environment. Contexts of probability zero and actions outside
the class are left out. All functions can be jitted and vmapped over environments of equal shape.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.designs import active_set, leverage, nodes
from banditlab.designs.pairs import Problem
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.numerics import tolerances
from banditlab.numerics.compilation import LOOPS, inner

MAX_STEPS = 300
CONSTRAINTS = ("triple", "conditional")
# Masses below this are rounding.
_ROUNDING = 1e-14


class Design(NamedTuple):
    """A design and its certificate.

    Attributes:
        pair_law: (S, A, A), symmetric, total mass 1.
        weights: what was optimised: (S, A, A) pairs or (S, A) nodes; of total mass 1.
        context_probs: (S,) its marginal over contexts.
        action_probs: (S, A) its marginal over actions given the context, uniform where the context has no mass.
        duality_gap: () certified, inf if there is no certificate.
        num_steps: () int32 interior-point steps.
        converged: () bool, whether the gap asked for was reached.
    """

    pair_law: Array
    weights: Array
    context_probs: Array
    action_probs: Array
    duality_gap: Array
    num_steps: Array
    converged: Array


@door
def triple(env: Environment, *, gap: float | Array = 1e-9, max_steps: int = MAX_STEPS) -> Design:
    """(a) nu(x, y, y'): argmax log det M(nu); optimal iff max_z z'M^{-1}z = d.

    Args:
        gap: the duality gap wanted, positive.
        max_steps: interior-point steps at most; `converged` tells whether they sufficed.

    Raises:
        ValueError: if `gap` is not positive, `max_steps` is below 1, or no within-context difference exists.
    """
    return _pairs(env, *_limits(env, gap, max_steps), free=True)


@door
def conditional_pairs(env: Environment, *, gap: float | Array = 1e-9, max_steps: int = MAX_STEPS) -> Design:
    """(c) nu(y, y'|x) with x ~ rho: optimal iff E_x max_{y,y'} z'M^{-1}z = d. Arguments and errors as in `triple`."""
    return _pairs(env, *_limits(env, gap, max_steps), free=False)


@door
def joint(env: Environment, *, gap: float | Array = 1e-9, max_steps: int = MAX_STEPS) -> Design:
    """(b) nu(x, y), centred per prompt: argmax log det sum_x nu(x) Cov_{nu(.|x)} phi.

    Optimal iff max ||phi - m(x)||^2_{V^{-1}} = d. Both actions of a pair come from nu(.|x), independently; pair
    leverages are at most 2d in (2V)^{-1}. Arguments and errors as in `triple`.
    """
    return _nodes(env, *_limits(env, gap, max_steps), free=True)


@door
def conditional_nodes(env: Environment, *, gap: float | Array = 1e-9, max_steps: int = MAX_STEPS) -> Design:
    """(d) nu(y|x) with x ~ rho: optimal iff E_x max_y ||phi - m_nu(x)||^2_{V^{-1}} = d. Otherwise as `joint`."""
    return _nodes(env, *_limits(env, gap, max_steps), free=False)


@door
def l_optimal(
    env: Environment,
    *,
    constraint: Literal["triple", "conditional"] = "triple",
    gap: float | Array = 1e-6,
    max_steps: int = MAX_STEPS,
) -> Design:
    """The oracle argmin tr(V* H(mu)^{-1}) over pair laws: a yardstick that knows theta*, not a sampler.

    Args:
        constraint: "triple" for free prompts, "conditional" for x ~ rho.
        gap, max_steps: as in `triple`.
    """
    validation.choice("constraint", constraint, CONSTRAINTS)
    return _l_optimal(env, *_limits(env, gap, max_steps), free=constraint == "triple")


@inner(LOOPS, static="free")
def _l_optimal(env: Environment, gap: Array, max_steps: Array, *, free: bool) -> Design:
    problem, allowed = _information_problem(env, free=free)
    target = env.context_probs[:, None] * jnp.exp(env.log_target)
    mean = jnp.einsum("xa,xad->xd", jnp.exp(env.log_target), problem.features)
    centred = problem.features - mean[:, None, :]
    cost = jnp.einsum("xa,xad,xae->de", target, centred, centred)
    return _pair_design(env, allowed, problem._replace(cost=cost), gap, max_steps)


@door
def d_optimal(
    env: Environment,
    *,
    constraint: Literal["triple", "conditional"] = "triple",
    gap: float | Array = 1e-9,
    max_steps: int = MAX_STEPS,
) -> Design:
    """argmax log det H(mu) over pair laws: `triple` or `conditional_pairs` with each zz' weighted by sigma'.

    Optimal iff max_z beta^2 sigma' z'H^{-1}z = d, or its mean over x for x ~ rho. The weights are those of the
    environment's reward: at an estimate (`samplers.reweighted`) this is the locally optimal design.

    Args:
        constraint: "triple" for free prompts, "conditional" for x ~ rho.
        gap, max_steps: as in `triple`.
    """
    validation.choice("constraint", constraint, CONSTRAINTS)
    return _d_optimal(env, *_limits(env, gap, max_steps), free=constraint == "triple")


@inner(LOOPS, static="free")
def _d_optimal(env: Environment, gap: Array, max_steps: Array, *, free: bool) -> Design:
    problem, allowed = _information_problem(env, free=free)
    return _pair_design(env, allowed, problem, gap, max_steps)


@inner(LOOPS, static="free")
def _pairs(env: Environment, gap: Array, max_steps: Array, *, free: bool) -> Design:
    features, allowed = _prepare(env)
    problem = Problem(features, _pair_scale(allowed, features), _masses(env, free=free), None)
    return _pair_design(env, allowed, problem, gap, max_steps)


@inner(LOOPS, static="free")
def _nodes(env: Environment, gap: Array, max_steps: Array, *, free: bool) -> Design:
    features, allowed = _prepare(env)
    return _node_design(env, allowed, features, _masses(env, free=free), gap, max_steps)


def _masses(env: Environment, *, free: bool) -> Array:
    """The probabilities that a design must keep: those of the contexts, or the total where prompts are free."""
    return jnp.ones(1, env.features.dtype) if free else env.context_probs


def _information_problem(env: Environment, *, free: bool) -> tuple[Problem, Array]:
    """The log-determinant problem of H, and the allowed nodes (S, A)."""
    features, allowed = _prepare(env)
    reward = env.reward
    gaps = reward[:, :, None] - reward[:, None, :]
    information = env.beta**2 * jax.nn.sigmoid(gaps) * jax.nn.sigmoid(-gaps)
    return Problem(features, _pair_scale(allowed, features) * information, _masses(env, free=free), None), allowed


def _limits(env: Environment, gap: float | Array, max_steps: int) -> tuple[Array, Array]:
    """`gap` and `max_steps` as arrays; ValueError for one that is out of range, or an environment of rank 0."""
    if validation.is_concrete(gap):
        validation.positive("gap", gap)
    max_steps = validation.steps("max_steps", max_steps)
    if env.rank == 0:
        raise ValueError("env must have a within-context feature difference to design for; got rank 0")
    return jnp.asarray(gap, env.features.dtype), jnp.asarray(max_steps, jnp.int32)


def _prepare(env: Environment) -> tuple[Array, Array]:
    """Whitened features (S, A, rank) and the allowed nodes (S, A)."""
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    return leverage.whiten(env.reduced_features, allowed), allowed


def _pair_scale(allowed: Array, features: Array) -> Array:
    distinct = ~jnp.eye(allowed.shape[1], dtype=bool)[None]
    return jnp.where(allowed[:, :, None] & allowed[:, None, :] & distinct, 1.0, 0.0).astype(features.dtype)


def _pair_design(env: Environment, allowed: Array, problem: Problem, gap: Array, max_steps: Array) -> Design:
    solution = active_set.solve(problem, gap, max_steps)
    law = solution.pair_law
    # Prompts without an informative pair to ask about (a single action, say) are spent on a self-pair.
    free = problem.masses.shape[0] == 1
    left = env.context_probs * (1 - jnp.sum(law)) if free else env.context_probs - jnp.sum(law, axis=(1, 2))
    first = jnp.argmax(allowed, axis=1)
    law = law.at[jnp.arange(law.shape[0]), first, first].add(
        jnp.where(left > tolerances.scaled(_ROUNDING, left.dtype), left, 0.0)
    )
    law = law / jnp.sum(law)
    return _finish(allowed, law, law, jnp.sum(law, axis=2), solution.duality_gap, solution.num_steps, gap)


def _node_design(
    env: Environment, allowed: Array, features: Array, masses: Array, gap: Array, max_steps: Array
) -> Design:
    weights, certified, steps = nodes.solve(features, allowed, masses, gap, max_steps)
    totals = jnp.sum(weights, axis=1)
    conditional = weights / jnp.where(totals > 0, totals, 1.0)[:, None]
    law = weights[:, :, None] * conditional[:, None, :]
    return _finish(allowed, law, weights, weights, certified, steps, gap)


def _finish(
    allowed: Array, law: Array, weights: Array, marginal: Array, certified: Array, steps: Array, gap: Array
) -> Design:
    """The design with the marginals (S, A) of its nodes."""
    totals = jnp.sum(marginal, axis=1)
    some = jnp.any(allowed, axis=1, keepdims=True)
    choices = jnp.where(some, allowed, True).astype(law.dtype)
    uniform = choices / jnp.sum(choices, axis=1, keepdims=True)
    seen = (totals > 0)[:, None]
    actions = jnp.where(seen, marginal / jnp.where(seen, totals[:, None], 1.0), uniform)
    return Design(law, weights, totals, actions, certified, steps, certified <= gap)
