"""The named scenarios of partial coverage (docs/theory.md, section 7): environments, and which actions are labelled."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.door import Finite, door
from banditlab.environment import Environment
from banditlab.instances import named

__all__ = [
    "OneSided",
    "Scenario",
    "hard_missing",
    "labelled",
    "linear_identified",
    "linear_unidentified",
    "loser_heavy_reference",
    "many_contexts_one_uncovered",
    "one_sided",
    "rare_bad",
    "rare_good",
    "restrict",
]


class Scenario(NamedTuple):
    """An environment with its offline labels.

    Attributes:
        env: the environment; its log_reference is -inf at actions that pi_ref does not play.
        seen: (S, A) bool, the actions in the labels.
        pair_law: (S, A, A) law of a labelled pair: y, y' independent from pi_ref given the seen actions. The mass of
            contexts without labels is missing from it.
    """

    env: Environment
    seen: Array
    pair_law: Array


class OneSided(NamedTuple):
    """An environment with a win matrix (S, A, A) in which one action beat every other, each time."""

    env: Environment
    wins: Array


@door
def rare_good(rare_mass: float = 0.01, rare_reward: float = 2.0, num_common: int = 4, beta: float = 1.0) -> Scenario:
    """The last action is the best and rare under pi_ref; the common ones are equally likely, rewards from 0 to 1/2."""
    return _rare("rare_good", rare_mass, rare_reward, num_common, beta)


@door
def rare_bad(rare_mass: float = 0.01, rare_reward: float = -2.0, num_common: int = 4, beta: float = 1.0) -> Scenario:
    """As `rare_good`, but the rare action is the worst."""
    return _rare("rare_bad", rare_mass, rare_reward, num_common, beta)


@door
def hard_missing(
    num_actions: int = 5, num_missing: int = 1, missing_reward: Finite = 1.0, beta: float = 1.0
) -> Scenario:
    """pi_ref has no mass at all on the last actions, and the class can play them: J = -inf where it does.

    `restrict(env, seen)` takes them from the class.
    """
    total, missing = (
        int(validation.whole("num_actions", num_actions)),
        int(validation.whole("num_missing", num_missing)),
    )
    validation.tables("num_actions", total**2)
    if missing >= total:
        raise ValueError(f"num_missing must be below num_actions = {total}; got {missing}")
    kept = total - missing
    reward = np.concatenate([np.linspace(0.0, 0.5, kept), np.full(missing, missing_reward)])
    with np.errstate(divide="ignore"):
        log_reference = np.log([1 / kept] * kept + [0.0] * missing)
    env = named.table({"missing_reward": "reward"}, reward[None], log_reference[None], beta)
    return labelled(env, jnp.isfinite(env.log_reference))


@door
def linear_identified(strength: float = 1.0, beta: float = 1.0) -> Scenario:
    """Linear rewards, d = 2: differences of the seen phi = 0, e_1, e_2 span all; unseen is 2 (e_1 + e_2), the best.

    theta* = strength (1, 0.8), uniform reference: every theta* is learnt from the seen actions alone.
    """
    features = [[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 2.0]]]
    target = np.array([1.0, 0.8]) * _finite("strength", strength)
    env = named.create({"strength": "target_params"}, features, target_params=target, beta=beta)
    return labelled(env, jnp.asarray([[True, True, True, False]]))


@door
def linear_unidentified(strength: float = 1.0, beta: float = 1.0) -> Scenario:
    """As `linear_identified`, but only phi = 0 and e_1 are seen: what theta* does along e_2 is in no label."""
    env = linear_identified(strength, beta).env
    return labelled(env, jnp.asarray([[True, True, False, False]]))


@door
def loser_heavy_reference(
    loser_mass: float = 0.7,
    loser_reward: float = -1.0,
    num_winners: int = 3,
    unseen_mass: float = 0.1,
    beta: float = 1.0,
) -> Scenario:
    """pi_ref plays a bad seen action most of the time; equally likely good ones, rewards 0 to 1/2, and one unseen.

    The unseen action has the reward 0.
    """
    loser, unseen = validation.positive("loser_mass", loser_mass), validation.positive("unseen_mass", unseen_mass)
    if loser + unseen >= 1:
        raise ValueError(f"loser_mass + unseen_mass must be below 1; got {loser} + {unseen}")
    winners = int(validation.whole("num_winners", num_winners))
    validation.tables("num_winners", winners**2)
    reference = np.array([loser, *[(1 - loser - unseen) / winners] * winners, unseen])
    reward = np.array([_finite("loser_reward", loser_reward), *np.linspace(0.0, 0.5, winners), 0.0])
    env = named.table({"loser_reward": "reward"}, reward[None], np.log(reference)[None], beta)
    return labelled(env, jnp.arange(winners + 2)[None] <= winners)


@door
def many_contexts_one_uncovered(
    num_contexts: int = 16, num_actions: int = 4, spread: float = 2.0, beta: float = 1.0
) -> Scenario:
    """Rewards from 0 to `spread`, uniform reference, every context labelled but the last.

    The mean over contexts of a learner's KL divides the last one's by their number; the maximum shows it.
    """
    contexts, actions = (
        int(validation.whole("num_contexts", num_contexts)),
        int(validation.whole("num_actions", num_actions)),
    )
    if contexts < 2 or actions < 2:
        raise ValueError(f"num_contexts and num_actions must be at least 2; got {contexts} and {actions}")
    validation.tables("num_contexts * num_actions", (contexts * actions) ** 2)
    rows = np.linspace(0.0, _finite("spread", spread), actions)
    # A different best action in every context, so that no action is good everywhere.
    reward = np.stack([np.roll(rows, x) for x in range(contexts)])
    seen = np.ones((contexts, actions), bool)
    seen[-1] = False
    return labelled(named.table({"spread": "reward"}, reward, beta=beta), jnp.asarray(seen))


@door
def one_sided(num_actions: int = 2, reward_gap: float = 1.0, num_wins: float = 1.0, beta: float = 1.0) -> OneSided:
    """Action 0, better by `reward_gap`, beat every other action in all of `num_wins` comparisons; uniform reference."""
    actions = int(validation.whole("num_actions", num_actions))
    if actions < 2:
        raise ValueError(f"num_actions must be at least 2; got {actions}")
    validation.tables("num_actions", actions**2)
    reward = np.zeros((1, actions))
    reward[0, 0] = _finite("reward_gap", reward_gap)
    wins = np.zeros((1, actions, actions))
    wins[0, 0, 1:] = validation.positive("num_wins", num_wins)
    return OneSided(named.table({"reward_gap": "reward"}, reward, beta=beta), jnp.asarray(wins))


@door
def labelled(env: Environment, seen: ArrayLike) -> Scenario:
    """`env` with labels on pairs of `seen` (S, A) actions, drawn from pi_ref given them.

    Raises:
        ValueError: if `seen` is not (S, A) bool, or holds no action that pi_ref plays.
    """
    mask = _mask("seen", env, seen)
    played = mask & np.isfinite(np.asarray(env.log_reference)) & (np.asarray(env.context_probs) > 0)[:, None]
    if not played.any():
        raise ValueError("seen must hold an action that the reference plays; got none in any context")
    weights = np.where(played, np.exp(np.asarray(env.log_reference)), 0.0)
    totals = weights.sum(axis=1, keepdims=True)
    shares = weights / np.where(totals > 0, totals, 1.0)
    law = np.asarray(env.context_probs)[:, None, None] * shares[:, :, None] * shares[:, None, :]
    return Scenario(env, jnp.asarray(mask), jnp.asarray(law))


@door
def restrict(env: Environment, support: ArrayLike) -> Environment:
    """`env` with class and reference cut to `support` (S, A) bool; the reference is renormalised on it.

    Raises:
        ValueError: if `support` is not (S, A) bool, or leaves a context without an action of class or reference.
    """
    mask = _mask("support", env, support)
    base, reference = np.asarray(env.log_base), np.asarray(env.log_reference)
    for what, kept in (
        ("an action", mask),
        ("an action of the class", mask & np.isfinite(base)),
        ("an action of the reference", mask & np.isfinite(reference)),
    ):
        if (empty := np.flatnonzero(~kept.any(axis=1))).size:
            raise ValueError(f"support must keep {what} in every context; got none in context {empty[0]}")
    cut = np.where(mask, reference, -math.inf)
    cut = cut - np.logaddexp.reduce(cut, axis=1, keepdims=True)
    # A linear softmax around the reference stays one around the new reference.
    around = np.array_equal(base, reference)
    return env.replace(log_reference=cut, log_base=cut if around else np.where(mask, base, -math.inf))


def _rare(name: str, rare_mass: float, rare_reward: float, num_common: int, beta: float) -> Scenario:
    mass, common = validation.positive("rare_mass", rare_mass), int(validation.whole("num_common", num_common))
    validation.tables("num_common", common**2)
    if mass >= 1:
        raise ValueError(f"rare_mass must be below 1; got {rare_mass}")
    value, good = _finite("rare_reward", rare_reward), name == "rare_good"
    if (value <= 0.5) if good else (value >= 0):
        raise ValueError(f"rare_reward must be {'above 0.5' if good else 'below 0'} for {name}; got {rare_reward}")
    reference = np.array([(1 - mass) / common] * common + [mass])
    reward = np.append(np.linspace(0.0, 0.5, common), value)
    env = named.table({"rare_reward": "reward"}, reward[None], np.log(reference)[None], beta)
    return labelled(env, jnp.ones((1, common + 1), bool))


def _mask(name: str, env: Environment, value: ArrayLike) -> np.ndarray:
    mask = np.asarray(value)
    validation.shape(name, mask, (env.num_contexts, env.num_actions))
    if mask.dtype != bool:
        raise ValueError(f"{name} must be boolean; got {mask.dtype}")
    return mask


def _finite(name: str, value: float) -> float:
    return float(validation.array(name, value, ()))


def __dir__() -> list[str]:
    return __all__
