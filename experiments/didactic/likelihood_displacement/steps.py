"""What a step on labelled pairs does to the log-likelihoods of a tabular softmax, in closed form and by the losses."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab.didactic import batches, losses, pairs, policies
from banditlab.didactic.problem import Problem
from banditlab.didactic.settings import Settings

ALGORITHMS = ("dpo", "ipo", "pref_ft")
NEGATIVE = ("dpo", "ipo")
SIDES = ("chosen", "rejected", "other")

# Adam's, added to the root of the second moment.
EPSILON = 1e-8


def pair_pull(algorithm: str, ratio: np.ndarray, beta: float, target: float) -> np.ndarray:
    """(K,) c of a step of size one on one pair with log(pi/pi_ref)(w) - log(pi/pi_ref)(l) = ratio.

    The step moves the logits of winner and loser by c and -c: c = beta sigma(-beta ratio) for DPO, 2 (target - ratio)
    for IPO; the normaliser of the softmax drops out of a difference.
    """
    if algorithm == "dpo":
        return beta / (1 + np.exp(beta * ratio))
    return 2 * (target - ratio)


def pair_move(pull: np.ndarray, winner: np.ndarray, loser: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Changes of log pi after the pair's logits moved by c and -c: first order, exact, a bound on their difference.

    With p, q the probabilities of winner and loser: chosen c (1 - p + q), rejected -c (1 + p - q), every other action
    -c (p - q), less the remainder log(1 + p (e^c - 1) + q (e^-c - 1)) - c (p - q), a cumulant of a variable on
    [-c, c]: between 0 and c^2/2.
    """
    drift = pull * (winner - loser)
    normaliser = np.log1p(winner * np.expm1(pull) + loser * np.expm1(-pull))
    moved = {"chosen": pull, "rejected": -pull, "other": np.zeros_like(pull)}
    return {
        name: {"first_order": shift - drift, "exact": shift - normaliser, "bound": pull**2 / 2}
        for name, shift in moved.items()
    }


def gradient_steps(
    algorithm: str, tables: dict[str, np.ndarray], settings: Settings, step_size: float
) -> dict[str, np.ndarray]:
    """Measured changes (K,) of log pi of winner, loser and a third action, by autodiff of `losses` on one pair each.

    tables: logits and log_reference (K, A); winner, loser, other (K,) actions.
    """
    loss = losses.ALGORITHMS[algorithm].loss
    rewards = jnp.asarray([[1.0, 0.0]])

    @jax.jit
    @jax.vmap
    def moves(logits: Array, log_reference: Array, winner: Array, loser: Array, other: Array) -> Array:
        drawn = jnp.stack([winner, loser])[None, :]

        def value(theta: Array) -> Array:
            log_probs = jax.nn.log_softmax(theta)[drawn]
            return loss(log_probs, log_reference[drawn], rewards, log_reference[drawn], settings)

        stepped = logits - step_size * jax.grad(value)(logits)
        change = jax.nn.log_softmax(stepped) - jax.nn.log_softmax(logits)
        return change[jnp.stack([winner, loser, other])]

    found = np.asarray(
        moves(*(jnp.asarray(tables[k]) for k in ("logits", "log_reference", "winner", "loser", "other")))
    )
    return dict(zip(("chosen", "rejected", "other"), found.T, strict=True))


def random_tables(seed: int, count: int, num_actions: int) -> dict[str, np.ndarray]:
    """Policies and references far apart, and three different actions each."""
    generator = np.random.default_rng(seed)
    logits, reference = generator.normal(0.0, 1.5, (2, count, num_actions))
    log_reference = reference - np.logaddexp.reduce(reference, axis=1, keepdims=True)
    actions = generator.permuted(np.tile(np.arange(num_actions), (count, 1)), axis=1)[:, :3].T
    names = dict(zip(("winner", "loser", "other"), actions, strict=True))
    return {"logits": logits, "log_reference": log_reference} | names


def winner_laws(bandit: Problem, num_states: int, num_samples: int, seeds: int, seed: int) -> dict[str, np.ndarray]:
    """The offline data sets of `training.train`, counted: laws of winners and losers (seeds, A), pairs (seeds,)."""
    keys = np.array([np.random.SeedSequence((seed, place)).generate_state(2) for place in range(seeds)])

    def actions(key: Array) -> Array:
        arguments = (policies.tabular(), None, bandit, Settings(), num_states, num_samples, None, bandit.reward)
        return batches.draw(key, jnp.uint32(0), *arguments).actions

    drawn = np.asarray(jax.jit(jax.vmap(actions))(keys))
    first, second = (drawn[:, :, index].reshape(seeds, -1) for index in np.triu_indices(num_samples, 1))
    reward = np.asarray(bandit.reward)
    gap = reward[first] - reward[second]
    sides = {"winners": np.where(gap > 0, first, second), "losers": np.where(gap > 0, second, first)}
    assert sides["winners"].shape[1] == num_states * pairs.count(num_samples)
    laws = {}
    for name, chosen in sides.items():
        counts = np.zeros((seeds, len(reward)))
        np.add.at(counts, (np.arange(seeds)[:, None], chosen), gap != 0)
        laws[name] = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    return laws | {"pairs": (gap != 0).sum(1)}


def adam_first_step(algorithm: str, laws: dict[str, np.ndarray], log_reference: np.ndarray, rate: float, scale: float):
    """(seeds, A) change of the logits in Adam's first step: rate g / (|g| + eps), g the descent direction at pi_ref.

    scale: what the direction of a pair is multiplied by at pi_ref, beta/2 for DPO and twice the target for IPO.
    """
    pulled = laws["winners"] - (np.exp(log_reference) if algorithm == "pref_ft" else laws["losers"])
    direction = (1.0 if algorithm == "pref_ft" else scale) * pulled
    return rate * direction / (np.abs(direction) + EPSILON)


def sign_path(winners: np.ndarray, net: np.ndarray, log_reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(seeds, R) change of the mean log pi(chosen) where every step moves the logits by rate times sign(wins - losses).

    Adam's path while the gradient keeps its size: log pi_t = log pi_ref + rate t net - log normaliser, whose slope is
    zero where pi_t's mass on net winners, less that on net losers, is the winners' own. net (seeds, A) -1, 0 or 1;
    moved (R,) rate t.
    """
    normaliser = np.logaddexp.reduce(log_reference + moved[None, :, None] * net[:, None, :], axis=2)
    return moved * (winners * net).sum(1, keepdims=True) - normaliser
