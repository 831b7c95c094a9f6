"""Where descent on offline labels ends: closed forms for the tabular softmax (docs/theory.md, section 7).

The labels see a graph of compared actions in every context, and the DPO loss of a table of logits depends on the
differences within its connected components alone; an unseen action is a component by itself. So a step along the
gradient, of whatever size, conserves the sum of the logits over each component C, and a penalty on KL(pi||pi_ref)
is alone in moving components against each other. Hence, from pi_ref,

    DPO           pi_a ∝ ref_a e^{(r_a - rbar_C)/beta},    rbar_C the plain mean of r over C;                        (1)
    lambda -> 0+  pi_a ∝ ref_a e^{(r_a - m_C)/beta},       m_C = E_{pi|C} r, pi|C ∝ ref e^{r/beta};                  (2)
    lambda > 0    E_{pi|C} log(pi/pi_ref) = KL(pi||pi_ref)    in every context and component,                        (3)

where r is the reward that the labels' optimum gives to the seen actions (the true one for population labels). (3) are
the sums over C of the gradient in the logits, sum_C pi_a [log(pi_a/ref_a) - KL] = 0, and (2) is (3) with pi|C fixed by
the labels. Adam does not conserve the sums: its limit is another one.
"""

from __future__ import annotations

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.door import LogPolicy, Positive, Shape, Table, door
from banditlab.environment import Environment
from banditlab.numerics import graphs

__all__ = [
    "components",
    "dpo_flow_limit",
    "equal_gap_reward",
    "hypo_small_penalty_limit",
    "hypo_stationarity",
    "plain_mean",
    "rlhf_limit",
    "tilted_mean",
    "unseen_growth",
]

Linked = Annotated[Array, Shape(("S", "A", "A"), validation.flags)]


@door
def dpo_flow_limit(
    env: Environment, reward: ArrayLike, seen: ArrayLike, *, pairs: ArrayLike | None = None, beta: float | None = None
) -> Array:
    """(S, A) log of the limit (1) of gradient descent on the DPO loss from pi_ref; -inf for no mass.

    Any step size that converges, momentum and minibatches included: they all combine gradients. The same for every
    loss of the margin whose optimum has margins r_i - r_j.

    Args:
        reward: (S, A) implicit reward of the optimum on the seen actions; it is not read elsewhere.
        seen: (S, A) bool, the actions in the labels.
        pairs: (S, A, A) win matrix or pair law: which of them were compared, all with all by default.
        beta: training temperature, env.beta by default.

    Raises:
        ValueError: for `seen` empty or outside the support of the reference, wrong shapes, beta <= 0, or a class that
            is not tabular: with fewer features than differences of actions the limit is another.
    """
    values, scale, linked = _door(env, reward, seen, pairs, beta)
    return _tilted(env, linked, (values - plain_mean(values, linked)) / scale)


@door
def hypo_small_penalty_limit(
    env: Environment, reward: ArrayLike, seen: ArrayLike, *, pairs: ArrayLike | None = None, beta: float | None = None
) -> Array:
    """(S, A) log of the limit (2) of HyPO's stationary point as its penalty falls to zero; as `dpo_flow_limit`.

    -inf for no mass. At lambda = 0 itself the limit of the descent is (1): the two limits do not commute.
    """
    values, scale, linked = _door(env, reward, seen, pairs, beta)
    return _tilted(env, linked, (values - tilted_mean(env, values, linked, scale)) / scale)


@door
def rlhf_limit(
    env: Environment, reward: ArrayLike, seen: ArrayLike, imputed: ArrayLike, *, beta: float | None = None
) -> Array:
    """(S, A) log of pi ∝ pi_ref e^{r/beta}, r on the seen actions and a reward model's own value on the others.

    -inf where pi_ref has no mass.

    Args:
        reward, seen, beta: as in `dpo_flow_limit`.
        imputed: (S, A) or (), what the model says of the unseen actions, on the scale on which it gives the seen
            ones `reward`. The plain mean of those makes it (1) and the mean under pi|S makes it (2).
    """
    values, scale, _ = _door(env, reward, seen, None, beta)
    shape = np.shape(imputed)
    if len(shape) > 2 or any(
        size not in (1, full) for size, full in zip(shape[::-1], values.shape[::-1], strict=False)
    ):
        raise ValueError(f"imputed must broadcast to {values.shape}; got {shape}")
    others = jnp.broadcast_to(jnp.asarray(imputed, values.dtype), values.shape)
    _check_sums("imputed", others, scale)
    return _normalised(env, jnp.where(jnp.asarray(seen), values, others) / scale)


@door
def hypo_stationarity(
    env: Environment, log_policy: LogPolicy, seen: ArrayLike, *, pairs: ArrayLike | None = None
) -> Array:
    """(S, A) E_{pi|C} log(pi/pi_ref) - KL(pi(.|x)||pi_ref(.|x)), C the component of the action: zero by (3).

    For an unseen action log(pi_u/ref_u) - KL. The divergence is that of the context, not its mean over contexts.
    """
    logs = jnp.asarray(log_policy, env.features.dtype)
    linked = components(env, seen, pairs)
    played = jnp.isfinite(logs) & jnp.isfinite(env.log_reference)
    ratio = jnp.where(played, logs, 0.0) - jnp.where(played, env.log_reference, 0.0)
    policy = jnp.where(played, jnp.exp(logs), 0.0)
    return _mean(linked, policy, ratio) - jnp.sum(policy * ratio, axis=1)[:, None]


@door
def equal_gap_reward(
    env: Environment, reward: ArrayLike, seen: ArrayLike, first: ArrayLike, second: ArrayLike
) -> np.ndarray:
    """(S,) the true reward of the unseen actions at which two values imputed to them are equally bad for J.

    Both policies agree with pi* given S, so a gap is beta kl(q||q*) of the masses of the unseen actions, whose logits
    are l(v) = v/beta + log ref(U) - log sum_S ref e^{r/beta}. The gaps agree where l(r_u) = (H(q_1) - H(q_2))/(q_2 -
    q_1), H the binary entropy, between the two values; below it the smaller one is the better. J's beta.

    Args:
        reward: (S, A), read on the seen actions; seen: (S, A) bool.
        first, second: (S,) or (), two different imputed values, above or below the truth.

    Raises:
        ValueError: as `dpo_flow_limit`; for a context without unseen or without seen actions, or values that are equal
            or so far from the rewards that float64 does not tell the two policies apart.
    """
    table, beta, _ = _door(env, reward, seen, None, None)
    mask, weights, scale = np.asarray(seen), np.exp(np.asarray(env.log_reference)), float(beta)
    if (~mask.any(axis=1)).any() or not (np.where(mask, 0.0, weights).sum(axis=1) > 0).all():
        raise ValueError("seen must leave seen and unseen actions in the support of the reference in every context")
    named = {"first": first, "second": second}
    for name, imputed in named.items():
        validation.finite(name, np.asarray(imputed, float))
        if np.shape(imputed) not in ((), (len(mask),)):
            raise ValueError(f"{name} must be () or ({len(mask)},); got {np.shape(imputed)}")
    values = np.stack([np.broadcast_to(np.asarray(imputed, float), len(mask)) for imputed in named.values()])
    if (values[0] == values[1]).any():
        raise ValueError(f"first and second must differ; got {values[0]} and {values[1]}")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        seen_mass = np.sum(np.where(mask, weights * np.exp(np.asarray(table) / scale), 0.0), axis=1)
        offset = np.log(np.where(mask, 0.0, weights).sum(axis=1)) - np.log(seen_mass)
        found = scale * (_equal_gap_logit(*(values / scale + offset)) - offset)
    if not np.isfinite(found).all():
        raise ValueError(
            f"reward, first and second must make policies that float64 tells apart; got none in context "
            f"{int(np.argmin(np.isfinite(found)))}"
        )
    return found


@door
def unseen_growth(
    env: Environment, reward: ArrayLike, seen: ArrayLike, *, pairs: ArrayLike | None = None, beta: float | None = None
) -> Array:
    """(S,) log of [sum_S ref_a e^{(r_a - rbar_C)/beta}]/ref(S): DPO's limit (1) moves mass to U iff it is negative.

    Never from a reference that is uniform on S, by Jensen's inequality. Zero in a context without labels.
    """
    values, scale, linked = _door(env, reward, seen, pairs, beta)
    mask = jnp.asarray(seen)
    reference = jnp.where(mask, env.log_reference, -jnp.inf)
    tilt = jnp.where(mask, (values - plain_mean(values, linked)) / scale, 0.0)
    grown = jax.nn.logsumexp(reference + tilt, axis=1) - jax.nn.logsumexp(reference, axis=1)
    return jnp.where(jnp.any(mask, axis=1), grown, 0.0)


@door
def components(env: Environment, seen: ArrayLike, pairs: ArrayLike | None = None) -> Array:
    """(S, A, A) bool: whether two actions are joined by a path of compared pairs; every action is with itself.

    Arguments and errors as in `dpo_flow_limit`.
    """
    table = (env.num_contexts, env.num_actions)
    validation.shape("seen", seen, table)
    mask = jnp.asarray(seen)
    if mask.dtype != bool:
        raise ValueError(f"seen must be boolean; got {mask.dtype}")
    if validation.is_concrete((mask, env)):
        if not mask.any():
            raise ValueError("seen must hold an action in some context; got none")
        if outside := np.argwhere(np.asarray(mask & ~jnp.isfinite(env.log_reference))).tolist():
            raise ValueError(f"seen must lie in the support of the reference; got (context, action) {outside[0]}")
    both = mask[:, :, None] & mask[:, None, :]
    if pairs is not None:
        validation.shape("pairs", pairs, (*table, env.num_actions))
        weights = jnp.asarray(pairs)
        if validation.is_concrete(weights):
            validation.non_negative("pairs", weights)
        both = both & (weights + jnp.swapaxes(weights, 1, 2) > 0)
    labels = graphs.components(both)
    return labels[:, :, None] == labels[:, None, :]


@door
def plain_mean(reward: Table, linked: Linked) -> Array:
    """(S, A) rbar_C of the component of each action: what DPO imputes to an unseen one, up to a common shift."""
    return _mean(linked, jnp.ones_like(reward), reward)


@door
def tilted_mean(env: Environment, reward: Table, linked: Linked, beta: Positive) -> Array:
    """(S, A) m_C of the component of each action: what HyPO with a vanishing penalty imputes to an unseen one."""
    logs = env.log_reference + reward / beta
    within = jnp.where(linked, logs[:, None, :], -jnp.inf)
    shift = jnp.max(within, axis=2, keepdims=True)
    weights = jnp.where(linked, jnp.exp(within - jnp.where(jnp.isfinite(shift), shift, 0.0)), 0.0)
    total = jnp.sum(weights, axis=2)
    mean = jnp.einsum("xij,xj->xi", weights, reward) / jnp.where(total > 0, total, 1.0)
    return jnp.where(total > 0, mean, reward)


def _equal_gap_logit(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H(q_1) - H(q_2))/(q_2 - q_1) for masses q of given logits, H the binary entropy."""
    # H is even in the logit: on the side of small masses no digit is lost, and what both have in common cancels.
    sign = np.where(first + second > 0, -1.0, 1.0)
    logits = sign * np.stack([first, second])
    log_masses = -np.logaddexp(0.0, -logits)
    shift = log_masses.max(axis=0)
    mass = np.exp(log_masses - shift)
    # H(q) = log(1 + e^l) - l q, and log(1 + e^l) is e^l to rounding where that is small.
    small = np.minimum(logits, -40.0)
    softplus = np.where(logits < -40.0, np.exp(small - shift), np.logaddexp(0.0, logits) * np.exp(-shift))
    entropy = softplus - logits * mass
    return sign * (entropy[0] - entropy[1]) / (mass[1] - mass[0])


def _mean(linked: Array, weights: Array, values: Array) -> Array:
    """(S, A) weighted mean of values over the component of each action; zero where it has no weight."""
    total = jnp.einsum("xij,xj->xi", linked.astype(values.dtype), weights)
    summed = jnp.einsum("xij,xj->xi", linked.astype(values.dtype), weights * values)
    return summed / jnp.where(total > 0, total, 1.0)


def _tilted(env: Environment, linked: Array, tilt: Array) -> Array:
    """log of pi ∝ pi_ref e^tilt, without tilt on an action that is a component by itself (it is only rounding)."""
    alone = jnp.sum(linked, axis=2) == 1
    return _normalised(env, jnp.where(alone, 0.0, tilt))


def _normalised(env: Environment, tilt: Array) -> Array:
    logs = jnp.where(jnp.isfinite(env.log_base), env.log_reference, -jnp.inf)
    return jax.nn.log_softmax(logs + tilt, axis=-1)


def _door(env: Environment, reward, seen, pairs, beta) -> tuple[Array, Array, Array]:
    """reward (S, A) with zeros where it is not read, beta and the components, all checked."""
    linked = components(env, seen, pairs)
    allowed = jnp.isfinite(env.log_base) & (env.context_probs[:, None] > 0)
    differences = jnp.sum(jnp.maximum(jnp.sum(allowed, axis=1) - 1, 0))
    # Environments of rank 0 are bandits without features, which experiments build by themselves.
    if validation.is_concrete(differences) and env.rank not in (0, int(differences)):
        raise ValueError(f"env must be tabular, with a parameter for every difference of actions; got rank {env.rank}")
    validation.shape("reward", reward, (env.num_contexts, env.num_actions))
    if beta is not None and validation.is_concrete(beta):
        validation.positive("beta", beta)
    temperature = env.beta if beta is None else jnp.asarray(beta, env.features.dtype)
    values = jnp.where(jnp.asarray(seen), jnp.asarray(reward, env.features.dtype), 0.0)
    _check_sums("reward", values, temperature)
    return values, temperature, linked


def _check_sums(name: str, values: Array, temperature: Array) -> None:
    if validation.is_concrete((values, temperature)):
        sizes = jnp.sum(jnp.abs(values), axis=1)
        if not jnp.isfinite(2.0 * sizes / temperature + sizes).all():
            raise ValueError(f"{name} must have sums over actions that float64 holds, divided by beta too")


def __dir__() -> list[str]:
    return __all__
