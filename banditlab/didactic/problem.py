"""The 1-D bandit: a Gaussian bump of reward on a line of actions and a heavy-tailed reference, all exactly known.

The reward ignores the context, so that a policy is judged by sums over the actions.
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import law_checks, validation
from banditlab.door import Positive, Shape, Together, Values, door
from banditlab.numerics.compilation import LOOPS, inner

__all__ = ["Number", "Problem", "best_of_n", "expected_reward", "frontier", "kl", "law_of_best", "problem", "target"]

# The reference is the law of tanh(Cauchy(location, scale)) on equal bins of [-1, 1].
_LOCATION, _SCALE = -0.7, 0.4
_BISECTIONS = 100


Number = float | np.ndarray | Array
# Logarithms of probabilities, which may be -inf.
Place = Annotated[float | Array, Values(validation.finite)]
LogTable = Annotated[Array, Shape(("...", "A"), law_checks.log_masses)]
LogMasses = Annotated[Array, Together(law_checks.log_masses)]
LogLine = Annotated[Array, Shape(("A",), law_checks.log_masses)]
Line = Annotated[Array, Shape(("A",), validation.finite)]


class Problem(NamedTuple):
    """A bandit whose reward ignores the context; a pytree, so that a sweep of peaks is a leading axis.

    Attributes:
        reward: (A,) R(a).
        log_reference: (A,) log pi_ref(a), -inf where a histogram has an empty bin.
    """

    reward: Array
    log_reference: Array


@door
def problem(
    peak: Place = 70.0,
    width: Positive = 10.0,
    *,
    num_actions: int = 100,
    histogram_draws: int | None = None,
    seed: int = 0,
) -> Problem:
    """R(a) = exp(-((a - peak) / width)^2), a = 0 .. A - 1; pi_ref(a) = P(tanh(Cauchy(-0.7, 0.4)) in bin a of [-1, 1]).

    `jax.vmap(problem)(peaks, widths)` is a sweep: both may be traced.

    Args:
        peak: position of the largest reward, on the scale of the actions; it may lie between or outside them.
        width: positive.
        num_actions: A >= 2 equal bins.
        histogram_draws: take the frequencies of that many draws instead of the exact law; empty bins have no mass.
        seed: of these draws.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    count = int(validation.whole("num_actions", num_actions))
    if count < 2:
        raise ValueError(f"num_actions must be at least 2; got {num_actions}")
    validation.tables("num_actions", count)
    actions = jnp.arange(count, dtype=float)
    reward = jnp.exp(-jnp.square((actions - jnp.asarray(peak, float)) / jnp.asarray(width, float)))
    edges = np.linspace(-1.0, 1.0, count + 1)
    if histogram_draws is None:
        with np.errstate(divide="ignore"):
            ends = np.arctanh(edges)
        masses = np.diff(0.5 + np.arctan((ends - _LOCATION) / _SCALE) / np.pi)
    else:
        draws = int(validation.whole("histogram_draws", histogram_draws))
        validation.tables("histogram_draws", draws)
        generator = np.random.default_rng(validation.index("seed", seed))
        samples = np.tanh(_LOCATION + _SCALE * generator.standard_cauchy(draws))
        masses = np.histogram(samples, edges)[0] / draws
    with np.errstate(divide="ignore"):
        return Problem(reward, jnp.asarray(np.log(masses), float))


@door
def expected_reward(problem: Problem, log_policy: LogTable) -> Array:
    """E_{a ~ pi} R(a) for log_policy (..., A); returns (...)."""
    if log_policy.shape[-1] != problem.reward.shape[-1]:
        raise ValueError(f"log_policy must be (..., {problem.reward.shape[-1]}), as problem is; got {log_policy.shape}")
    return jnp.einsum("...a,a->...", jnp.exp(log_policy), problem.reward)


@door
def kl(log_p: LogMasses, log_q: LogMasses) -> Array:
    """KL(p || q) of (..., A) log-probabilities, either of them possibly (A,); inf where q lacks an action of p."""
    log_p, log_q = jnp.broadcast_arrays(log_p, log_q)
    played = jnp.isfinite(log_p)
    ratio = jnp.where(played, log_p, 0.0) - jnp.where(played, log_q, 0.0)
    return jnp.sum(jnp.exp(log_p) * ratio, axis=-1)


@door
def target(problem: Problem, beta: Positive) -> Array:
    """(A,) log pi*, pi* proportional to pi_ref e^{R/beta}: the maximiser of E_pi R - beta KL(pi || pi_ref)."""
    if validation.is_concrete((problem, beta)):
        with np.errstate(over="ignore"):
            if not np.isfinite(np.asarray(problem.reward) / float(beta)).all():
                raise ValueError(f"beta must keep R / beta finite; got {beta}")
    return jax.nn.log_softmax(problem.log_reference + problem.reward / beta)


@door
def law_of_best(reward: Line, log_probs: LogLine, num_samples: Positive) -> Array:
    """(A,) P(a is the best of n draws) = p(a) (P(R <= R(a))^n - P(R < R(a))^n) / P(R = R(a)).

    The first drawn of equally good actions counts as the best, which shares a level in proportion to p. The law of
    the worst is that of -reward.
    """
    probs = jnp.exp(log_probs)
    below = jnp.sum(jnp.where(reward[None, :] < reward[:, None], probs, 0.0), axis=1)
    level = jnp.sum(jnp.where(reward[None, :] == reward[:, None], probs, 0.0), axis=1)
    mass = (below + level) ** num_samples - below**num_samples
    return jnp.where(level > 0, probs * mass / jnp.where(level > 0, level, 1.0), 0.0)


@door
def best_of_n(problem: Problem, n: int | Array) -> Array:
    """E max of the rewards of n draws from the reference, exactly; a scalar."""
    if validation.is_concrete(n):
        validation.whole("n", n)
    count = jnp.asarray(n, problem.reward.dtype)
    return jnp.sum(law_of_best(problem.reward, problem.log_reference, count) * problem.reward)


@door
def frontier(problem: Problem, kl: ArrayLike) -> Array:
    """E_pi R of pi proportional to pi_ref e^{R/t} at the t > 0 where KL(pi || pi_ref) is `kl`; the shape of `kl`.

    No policy has more reward at that divergence. From the divergence of pi_ref kept to the best actions on, the
    largest reward is reached.

    Raises:
        ValueError: for negative divergences.
    """
    if validation.is_concrete(kl) and not (np.asarray(kl) >= 0).all():
        raise ValueError(f"kl must be non-negative; got {kl}")
    return _frontier(problem, jnp.asarray(kl, problem.reward.dtype))


@inner(LOOPS)
def _frontier(problem: Problem, wanted: Array) -> Array:
    spread = jnp.ptp(problem.reward)
    scale = jnp.where(spread > 0, spread, 1.0)

    def tilted(log_slope: Array) -> Array:
        tilt = jnp.einsum("...,a->...a", jnp.exp(log_slope) / scale, problem.reward)
        return jax.nn.log_softmax(jnp.broadcast_to(problem.log_reference, tilt.shape) + tilt, axis=-1)

    def halve(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        log_policy = tilted(middle)
        short = kl(log_policy, problem.log_reference) < wanted
        return jnp.where(short, middle, low), jnp.where(short, high, middle)

    # Between no tilt in double precision and none of the second-best action left.
    ends = jnp.full_like(wanted, math.log(1e-12)), jnp.full_like(wanted, math.log(1e12))
    low, _ = jax.lax.fori_loop(0, _BISECTIONS, halve, ends)
    return expected_reward(problem, tilted(low))


def __dir__() -> list[str]:
    return __all__
