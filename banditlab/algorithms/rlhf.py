"""Online RLHF: a reward fitted to offline labels, then the policy that is best for it (docs/theory.md, section 7)."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from banditlab import preferences, samplers, validation
from banditlab.algorithms import batches
from banditlab.algorithms.base import Algorithm, RoundInfo
from banditlab.door import door
from banditlab.environment import Environment
from banditlab.estimators import Status, bounded, policy_gradients
from banditlab.estimators.regression import least_squares
from banditlab.numerics import streams, tolerances

# Labels are drawn with the round's key itself, as in `dpo`: common random numbers. Draws of the policy then need one
# that no split of it can hit.
# The exact gradient of a sampled ascent is zero below this, for the status.
_TOLERANCE = 1e-8


class State(NamedTuple):
    """What a run carries.

    Attributes:
        params: (d,) of the current policy, see `rlhf`.
        log_policy: (S, A) its table.
        wins: (S, A, A) all labels so far.
        reward: (S, A) the reward fitted to them; zeros before any.
        ascent: (d,) parameters of pi_ref or nearest to it; a sampled ascent goes on from here.
        sampler: ready for the environment.
    """

    params: Array
    log_policy: Array
    wins: Array
    reward: Array
    ascent: Array
    sampler: Partial


class Options(NamedTuple):
    """Static choices: is the reward bounded, who optimises the policy, draws and steps, how a batch is drawn."""

    bounded: bool
    policy: str
    num_samples: int
    num_steps: int
    branch: batches.Branch


@door
def rlhf(
    num_pairs: float,
    reward_bound: float = math.inf,
    *,
    policy: Literal["exact", "rloo", "reinforce"] = "exact",
    num_samples: int = 4,
    num_steps: int = 200,
    step_size: float = 1.0,
    beta: float | None = None,
    sampler: samplers.Sampler | samplers.Prepared = samplers.initial,
    labeller: preferences.Labeller = preferences.bradley_terry,
    max_pairs: float | None = None,
    name: str = "rlhf",
) -> Algorithm:
    """RLHF: each round buys `num_pairs` labels, refits the reward on all of them, and optimises the policy for it.

    The reward r_hat = phi w is the Bradley-Terry maximum-likelihood fit over |r_hat| <= reward_bound
    (`banditlab.estimators.bounded`). Then, with b = `beta`,

        pi  =  argmax E_x[E_pi r_hat - b KL(pi||pi_ref)]  ∝  pi_ref e^{r_hat/b}     ("exact"),

    so E_x KL(pi||pi_ref) <= 2 reward_bound / b; or num_steps steps of gradient ascent on that objective within the
    class restricted to the support of pi_ref, with fresh on-policy draws and no labels ("rloo", "reinforce"), from
    pi_ref in the first round and from where the last one ended later. Pairs come from the never-refreshed pi_0.

    `state.params` of the exact optimum is w/b plus the parameters of pi_ref in the class, by least squares: the
    policy's own where the class contains it (linear around pi_ref: w/b; tabular: log pi up to c(x)). Where the class
    does not, or gives actions mass that pi_ref has not, the table `state.log_policy` alone is the policy.

    Args:
        num_pairs: labels bought per round, a whole number >= 1; inf fits the outcome law itself.
        reward_bound: positive; inf for the plain fit, whose separable data are reported by its status.
        policy: who finds the policy, see above.
        num_samples: draws per context and step of a sampled ascent; at least 2 for "rloo".
        num_steps, step_size: of a sampled ascent. Its status is max_steps unless the exact gradient vanishes.
        beta: temperature b of the policy, env.beta by default; the beta of J stays the environment's.
        sampler: (env, log_policy) -> pair law (S, A, A), for labels from elsewhere.
        labeller, max_pairs, name: as in `dpo`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    pairs, branch = batches.size(num_pairs, max_pairs)
    bound = validation.positive("reward_bound", reward_bound, infinite=True)
    validation.choice("policy", policy, ("exact", "rloo", "reinforce"))
    draws = int(validation.whole("num_samples", num_samples))
    if policy == "rloo" and draws < 2:
        raise ValueError(f"num_samples must be at least 2 for policy = 'rloo'; got {num_samples}")
    steps = validation.steps("num_steps", num_steps)
    sampled = policy != "exact"
    return Algorithm.create(
        name,
        init=_init,
        step=_step,
        settings={
            "sampler": batches.as_sampler(sampler),
            "labeller": preferences.as_partial(labeller),
            "num_pairs": pairs,
            "reward_bound": bound,
            "step_size": validation.positive("step_size", step_size),
            "beta": None if beta is None else validation.positive("beta", beta),
        },
        options=Options(math.isfinite(bound), policy, draws if sampled else 0, steps if sampled else 0, branch),
    )


def _init(algorithm: Algorithm, key: Array, env: Environment) -> State:
    del key
    wins = jnp.zeros((env.num_contexts, env.num_actions, env.num_actions), env.features.dtype)
    sampler = samplers.prepare(algorithm.settings["sampler"], env)
    reward, ascent = jnp.zeros_like(env.log_reference), _reference_params(env)
    # The objective's policies live on the support of pi_ref, where the class holds pi_ref or its nearest.
    start = ascent if env.initial_params is None else env.initial_params
    return State(start, env.log_initial, wins, reward, ascent, sampler)


def _step(algorithm: Algorithm, key: Array, state: State, env: Environment) -> tuple[State, RoundInfo]:
    settings, options = algorithm.settings, algorithm.options
    law = preferences.outcome_law(env, state.sampler(env, state.log_policy), settings["labeller"])
    wins = batches.draw(key, law, settings["num_pairs"], options.branch) + state.wins
    found = bounded.fit(env, wins, settings["reward_bound"] if options.bounded else math.inf)
    temperature = env.beta if settings["beta"] is None else settings["beta"]
    if options.policy == "exact":
        params, ascent, status = found.params / temperature + state.ascent, state.ascent, found.status
        log_policy = best_policy(env, found.reward, temperature)
    else:
        key_policy = jax.random.fold_in(key, streams.POLICY)
        params, at_rest = _ascend(algorithm, key_policy, env, found.reward, temperature, state.ascent)
        ascent, log_policy = params, _restricted(env).log_policy(params)
        climbed = jnp.where(at_rest, Status.converged, Status.max_steps).astype(jnp.int8)
        status = jnp.where(found.status == Status.converged, climbed, found.status)
    info = RoundInfo(settings["num_pairs"], status, found.existence)
    return State(params, log_policy, wins, found.reward, ascent, state.sampler), info


def best_policy(env: Environment, reward: Array, temperature: float | Array) -> Array:
    """(S, A) log of pi ∝ pi_ref e^{r/b} on the actions of the class, for a reward table (S, A)."""
    logits = jnp.where(jnp.isfinite(env.log_base), env.log_reference + reward / temperature, -jnp.inf)
    return jax.nn.log_softmax(logits, axis=1)


def _ascend(
    algorithm: Algorithm, key: Array, env: Environment, reward: Array, temperature: Array, start: Array
) -> tuple[Array, Array]:
    """Parameters (d,) after the steps, and whether the exact gradient there vanishes. A step that is not finite is
    not taken."""
    options, step_size = algorithm.options, algorithm.settings["step_size"]
    supported = _restricted(env)
    played = jnp.isfinite(supported.log_base)
    estimate = policy_gradients.rloo if options.policy == "rloo" else policy_gradients.reinforce

    def values(log_policy: Array) -> Array:
        log_ratio = jnp.where(played, log_policy, 0.0) - jnp.where(played, env.log_reference, 0.0)
        return jnp.where(played, reward - temperature * log_ratio, 0.0)

    def climb(index: Array, params: Array) -> Array:
        log_policy = supported.log_policy(params)
        actions = policy_gradients.sample(jax.random.fold_in(key, index), log_policy, options.num_samples)
        slope = estimate(supported, log_policy, values(log_policy), actions)
        moved = params + step_size * jnp.einsum("xa,xad->d", slope, env.features)
        return jnp.where(jnp.all(jnp.isfinite(moved)), moved, params)

    params = jax.lax.fori_loop(0, options.num_steps, climb, start)
    log_policy = supported.log_policy(params)
    slope = policy_gradients.exact(supported, log_policy, values(log_policy))
    tolerance = tolerances.at_least(_TOLERANCE, params.dtype)
    return params, jnp.linalg.norm(jnp.einsum("xa,xad->d", slope, env.features)) <= tolerance


def _restricted(env: Environment) -> Environment:
    """The class on the support of pi_ref: elsewhere the KL of the objective is infinite."""
    base = jnp.where(jnp.isfinite(env.log_reference), env.log_base, -jnp.inf)
    return dataclasses.replace(env, log_base=base)


def _reference_params(env: Environment) -> Array:
    """(d,) the shortest theta with log_base + phi theta nearest to log pi_ref, up to c(x), where both have mass."""
    both = jnp.isfinite(env.log_reference) & jnp.isfinite(env.log_base) & (env.context_probs[:, None] > 0)
    offsets = jnp.where(both, env.log_reference, 0.0) - jnp.where(both, env.log_base, 0.0)
    rewards = bounded.reward_class(env)
    counts = jnp.where(both[:, :, None] & both[:, None, :], 1.0, 0.0)
    zero = jnp.zeros_like(env.features[0, 0])
    return least_squares(rewards, counts, offsets[:, :, None] - offsets[:, None, :], zero).params
