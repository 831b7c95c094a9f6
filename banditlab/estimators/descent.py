"""First-order descent to a stated number of steps: DPO or IPO losses with a penalty on the KL to the reference.

The objective is (1/n) sum_x,i,j W[x,i,j] loss(h_ij) + lambda E_x KL(pi_theta || pi_ref), n the total of W. With
lambda > 0 this is HyPO (Song et al. 2024; docs/theory.md, section 7), whose KL needs on-policy draws but no labels.
It need not have a minimiser: a run then ends with `Status.max_steps`, and its budget is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import losses, validation
from banditlab.door import Cells, Key, NonNegative, Number, Params, Wins, door
from banditlab.environment import Environment
from banditlab.estimators import Status, policy_gradients
from banditlab.numerics import adam

KL_GRADIENTS = ("exact", "rloo", "reinforce")
OPTIMIZERS = ("gradient", "adam")

# Up to this many actions the partners of an action are written out, which compiles in proportion to them.
_UNROLL_LIMIT = 32


class Descent(NamedTuple):
    """The records of `descend`; every field an array, so that runs batch under `vmap`.

    Attributes:
        params: (R, d) after the stated numbers of steps; finite always.
        gradient_norm: (R,) Euclidean norm of the exact full gradient at `params`; inf where it is not finite.
        status: () int8 `Status`: converged if the last of these is at most the tolerance, nonfinite if a step or
            the penalty was not finite (the run then stays where it was), else max_steps.
    """

    params: Array
    gradient_norm: Array
    status: Array


class _Problem(NamedTuple):
    """What a step reads: log_base - log_reference (S, A), zero where infinite; the shares of n of both outcomes of
    the pairs (a, a + k mod A), and their regression targets, (S, A - 1, A) each, k = 1 .. A - 1."""

    env: Environment
    offsets: Array
    wins: tuple[Array, Array]
    targets: tuple[Array, ...]
    beta: Array
    penalty: Array


@door
def descend(
    key: Key,
    env: Environment,
    wins: Wins,
    start: Params,
    *,
    record_at: Array,
    step_size: Number,
    penalty: Number = 0.0,
    loss: losses.Loss = losses.dpo,
    target: Cells | None = None,
    beta: Number | None = None,
    kl: Literal["exact", "rloo", "reinforce"] = "exact",
    num_samples: int = 1,
    optimizer: Literal["gradient", "adam"] = "gradient",
    tolerance: NonNegative = 1e-8,
) -> Descent:
    """theta_{t+1} = theta_t - step_size g_t, g_t a gradient of (1/n) sum W loss(h) + penalty E_x KL(pi || pi_ref).

    Outcomes that involve an action outside the support of the reference or of the class have no finite margin and
    carry no weight, but count in n: they were bought. All arguments but loss, kl, num_samples and optimizer may be
    traced, the step counts included.

    Args:
        key: of the draws; not read with exact gradients.
        wins: (S, A, A) win matrix; the diagonal counts in n alone.
        start: (d,) theta_0.
        record_at: (R,) increasing step counts; 0 is the start.
        step_size: positive; of Adam, its learning rate.
        penalty: lambda >= 0. A class that can leave the support of the reference makes a positive one infinite.
        target: (S, A, A) regression targets per outcome, for `losses.ipo` and `losses.distillation`.
        beta: temperature of the margins h = beta [log(pi/pi_ref)(i) - log(pi/pi_ref)(j)]; env.beta by default.
        kl: the KL's gradient, exact or from num_samples draws of pi per context and step (rloo needs two).
        tolerance: on the gradient norm, for the status.

    Raises:
        ValueError: for arguments of the wrong shape, or out of range where they are concrete.
    """
    _check(env, wins, start, record_at, step_size, penalty, loss, target, beta, kl, num_samples, optimizer)
    dtype = env.features.dtype
    start, penalty, step_size = (jnp.asarray(value, dtype) for value in (start, penalty, step_size))
    beta = env.beta if beta is None else jnp.asarray(beta, dtype)
    problem = _problem(env, jnp.asarray(wins, dtype), target, beta, penalty)
    first, update = _optimizer(optimizer, step_size, start)

    def step(index: Array, carry: tuple[Array, Any, Array]) -> tuple[Array, Any, Array]:
        params, memory, sound = carry
        gradient = _gradient(problem, loss, params, kl, num_samples, key, index)
        change, memory = update(gradient, memory)
        # Where a step is not finite the run stays, for good: the status says so.
        moved = params + change
        sound = sound & jnp.all(jnp.isfinite(moved))
        return jnp.where(sound, moved, params), memory, sound

    def advance(carry: Any, until: Array) -> tuple[Any, tuple[Array, Array]]:
        begun, inner = carry
        inner = jax.lax.fori_loop(begun, until, step, inner)
        norm = jnp.linalg.norm(_gradient(problem, loss, inner[0]))
        return (until, inner), (inner[0], jnp.where(jnp.isfinite(norm), norm, jnp.inf))

    # A log-ratio of an action without reference mass is infinite: there is no gradient to follow.
    escapes = jnp.isfinite(env.log_base) & ~jnp.isfinite(env.log_reference) & (env.context_probs[:, None] > 0)
    sound = ~((penalty > 0) & jnp.any(escapes))
    record_at = jnp.asarray(record_at, jnp.int32)
    (_, (_, _, sound)), (params, norms) = jax.lax.scan(advance, (jnp.int32(0), (start, first, sound)), record_at)
    reached = jnp.where(norms[-1] <= tolerance, Status.converged, Status.max_steps)
    return Descent(params, norms, jnp.where(sound, reached, Status.nonfinite).astype(jnp.int8))


def _problem(env: Environment, wins: Array, target: Array | None, beta: Array, penalty: Array) -> _Problem:
    comparable = jnp.isfinite(env.log_reference) & jnp.isfinite(env.log_base)
    offsets = jnp.where(comparable, env.log_base, 0.0) - jnp.where(comparable, env.log_reference, 0.0)
    bought = jnp.sum(wins)
    both = comparable[:, :, None] & comparable[:, None, :]
    shares = jnp.where(both, wins, 0.0) / jnp.where(bought > 0, bought, 1.0)
    targets = () if target is None else _pairs(jnp.asarray(target, wins.dtype))
    return _Problem(env, offsets, _pairs(shares), targets, beta, penalty)


def _gradient(
    problem: _Problem,
    loss: losses.Loss,
    params: Array,
    kl: str = "exact",
    num_samples: int = 1,
    key: Array | None = None,
    index: Array | None = None,
) -> Array:
    """(d,) gradient of the objective in theta; of the KL, an unbiased estimate unless it is exact."""
    env = problem.env
    logits = jnp.einsum("xad,d->xa", env.features, params)
    flow = problem.beta * _flow(problem, loss, problem.beta * (logits + problem.offsets))
    log_policy = jax.nn.log_softmax(env.log_base + logits, axis=-1)
    played = jnp.isfinite(env.log_base) & jnp.isfinite(env.log_reference)
    log_ratio = jnp.where(played, log_policy - env.log_reference, 0.0)
    if kl == "exact" or key is None or index is None:
        spread = policy_gradients.exact(env, log_policy, log_ratio)
    else:
        actions = policy_gradients.sample(jax.random.fold_in(key, index), log_policy, num_samples)
        estimate = policy_gradients.rloo if kl == "rloo" else policy_gradients.reinforce
        spread = estimate(env, log_policy, log_ratio, actions)
    return jnp.einsum("xa,xad->d", flow + problem.penalty * spread, env.features)


def _flow(problem: _Problem, loss: losses.Loss, ratios: Array) -> Array:
    """(S, A) gradient of the mean loss in the log-ratios beta log(pi/pi_ref), ratios (S, A) up to c(x) (I7).

    Every pair counts at both its actions. Evaluating it twice, in one elementwise pass over slices, is three times
    as fast as once with a reduction over partners.
    """
    actions = ratios.shape[1]
    twice = jnp.concatenate([ratios, ratios], axis=1)

    def against(shift: int) -> Array:
        margins = ratios - twice[:, shift : shift + actions]
        wins, targets = jax.tree.map(lambda table: table[:, shift - 1], (problem.wins, problem.targets))
        return losses.pair_derivatives(loss, margins, wins, targets)[0]

    if actions <= _UNROLL_LIMIT:
        return sum((against(shift) for shift in range(1, actions)), jnp.zeros_like(ratios))
    partners = (np.arange(actions) + np.arange(1, actions)[:, None]) % actions
    margins = ratios[:, None, :] - ratios[:, partners]
    return jnp.sum(losses.pair_derivatives(loss, margins, problem.wins, problem.targets)[0], axis=1)


def _pairs(table: Array) -> tuple[Array, Array]:
    """(S, A - 1, A) entries (a, a + k) and (a + k, a) of a table (S, A, A), a + k modulo A, k = 1 .. A - 1."""
    actions = table.shape[1]
    first = np.broadcast_to(np.arange(actions), (actions - 1, actions))
    second = (first + np.arange(1, actions)[:, None]) % actions
    return table[:, first, second], table[:, second, first]


def _optimizer(name: str, step_size: Array, params: Array) -> tuple[Any, Callable[[Array, Any], tuple[Array, Any]]]:
    """The first state of an optimiser, and (gradient, state) -> (change of the parameters, state)."""
    if name == "gradient":
        return (), lambda gradient, memory: (-step_size * gradient, memory)

    def update(gradient: Array, memory: Any) -> tuple[Array, Any]:
        direction, memory = adam.direction(gradient, memory)
        return -step_size * direction, memory

    return adam.start(params), update


def _check(env, wins, start, record_at, step_size, penalty, loss, target, beta, kl, num_samples, optimizer) -> None:
    table = (env.num_contexts, env.num_actions, env.num_actions)
    validation.shape("wins", wins, table)
    validation.shape("start", start, (env.num_features,))
    if losses.is_quadratic(loss) == (target is None):
        raise ValueError(f"target must be {table} for losses.ipo and losses.distillation alone; got {np.shape(target)}")
    if target is not None:
        validation.shape("target", target, table)
    if np.ndim(record_at) != 1 or np.size(record_at) == 0:
        raise ValueError(f"record_at must be a non-empty list of step counts; got shape {np.shape(record_at)}")
    if validation.is_concrete(record_at):
        step_counts(record_at)
    for name, value, zero in (("step_size", step_size, False), ("penalty", penalty, True), ("beta", beta, False)):
        if value is not None and np.ndim(value) == 0 and validation.is_concrete(value):
            validation.positive(name, value, zero=zero)
    check_options(kl, num_samples, optimizer)


@door
def step_counts(record_at: ArrayLike) -> np.ndarray:
    """`record_at` (R,) as int32: increasing counts of steps from 0; ValueError for others."""
    counts = validation.array("record_at", record_at, ("num_records",))
    ordered = len(counts) > 0 and counts[0] >= 0 and (np.diff(counts) > 0).all() and (counts == np.floor(counts)).all()
    if not (ordered and counts[-1] < 2**31):
        raise ValueError(f"record_at must be whole numbers from 0 to 2^31 - 1, increasing; got {counts}")
    return counts.astype(np.int32)


def check_options(kl: str, num_samples: int, optimizer: str) -> int:
    """`num_samples` as an int, with the static options checked; ValueError naming the one that is wrong."""
    validation.choice("kl", kl, KL_GRADIENTS)
    validation.choice("optimizer", optimizer, OPTIMIZERS)
    draws = int(validation.whole("num_samples", num_samples))
    if kl == "rloo" and draws < 2:
        raise ValueError(f"num_samples must be at least 2 for kl = 'rloo'; got {num_samples}")
    return draws
