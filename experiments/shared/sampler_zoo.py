"""Every sampler of the library on instances of one shape: its pair law at pi*, and fresh batches drawn from it."""

import functools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

import banditlab as bl
from banditlab.claims import side_by_side
from banditlab.numerics import linalg
from banditlab.store import failures
from experiments.shared.floor_batches import remainder_order

_SIZE = 4  # features of every instance; one action more


def shaped(env: bl.Environment) -> bl.Environment:
    """Two prompts and an explicit start, so that all instances share their compilations.

    A one-prompt instance becomes two equal prompts, which changes no price.
    """
    copies = 2 // env.num_contexts
    features, log_reference = (
        np.repeat(np.asarray(leaf), copies, axis=0) for leaf in (env.features, env.log_reference)
    )
    return bl.Environment.create(
        features,
        target_params=np.asarray(env.target_params),
        log_reference=log_reference,
        initial_params=np.asarray(env.start_params),
        beta=float(env.beta),
    )


# By name; each takes beta.
INSTANCES: Mapping[str, Callable[..., bl.Environment]] = {
    "staircase": partial(bl.instances.staircase, _SIZE, step=0.5, start=1.5),
    "needle": partial(bl.instances.needle, _SIZE, rare_mass=0.05),
    "random features": partial(bl.instances.random_features, 2, _SIZE + 1, _SIZE, target_norm=3.0),
}
# Arm -> mixture of components; these weights and one fixed law are all that tells the simulated arms apart.
ARMS: Mapping[str, Mapping[str, float]] = {
    "offline": {"initial": 1.0},
    "uniform": {"uniform": 1.0},
    "on_policy": {"on_policy": 1.0},
    "policy_reference": {"policy_reference": 1.0},
    "two_stage": {"on_policy": 0.5, "initial": 0.5},
    "mix_r": {"mix_r": 1.0},
    "mix_p": {"mix_p": 1.0},
    "pilaf": {"pilaf": 1.0},
    "pilaf_weighted": {"pilaf_weighted": 1.0},
    "greedy_leverage": {"greedy_leverage": 1.0},
    "design_joint": {"design_joint": 1.0},
    "design_triple": {"design_triple": 1.0},
    "hybrid_paired": {"paired": 1.0},
    "hybrid_mixture": {"on_policy": 0.5, "design_joint": 0.5},
    "reweighted": {"reweighted": 1.0},
    "oracle": {"oracle": 1.0},
    "oracle_conditional": {"oracle_conditional": 1.0},
}
# Components drawn at the policy of the moment. The others are laws that never change, or are taken at pi*: solving
# a design in every round of every seed would show the same limit at a hundred times the cost.
REFRESHED = ("on_policy", "policy_reference", "mix_p", "pilaf", "pilaf_weighted", "paired")
# The arms whose prompts need not come from rho; the other arms compare with the conditional oracle.
FREE_PROMPTS = (
    "greedy_leverage", "design_joint", "design_triple", "hybrid_paired", "hybrid_mixture", "reweighted", "oracle"
)  # fmt: skip


class Zoo(NamedTuple):
    """An instance with the joint design, the law (S, A, A) of every component at pi*, and the oracles' gaps."""

    env: bl.Environment
    design: "bl.designs.Design"
    components: dict[str, Array]
    gaps: dict[str, float]

    def law(self, arm: str) -> Array:
        """The arm's pair law at pi*, (S, A, A)."""
        return sum((weight * self.components[name] for name, weight in ARMS[arm].items()), jnp.zeros(()))


@functools.cache
def build(instance: str, beta: float) -> Zoo:
    """The instance called ``instance`` with everything that can be sampled on it."""
    env = shaped(INSTANCES[instance](beta=beta))
    # Four programs to compile, each on one core: two at a time.
    solvers = (_joint, _determinant, _oracle, _oracle_conditional)
    design, reweighted, free, conditional = side_by_side([partial(solve, env) for solve in solvers])
    components = _cheap(env, design) | {
        "design_joint": design.pair_law,
        # At a constant reward sigma' is constant: the design for H is then that for M, in the same compiled program.
        "design_triple": _determinant(env.replace(target_params=np.zeros(_SIZE))).pair_law,
        "reweighted": reweighted.pair_law,
        "oracle": free.pair_law,
        "oracle_conditional": conditional.pair_law,
    }
    gaps = {"oracle": float(free.duality_gap), "oracle_conditional": float(conditional.duality_gap)}
    return Zoo(env, design, components, gaps)


_joint, _determinant, _oracle = (jax.jit(getattr(bl.designs, name)) for name in ("joint", "d_optimal", "l_optimal"))
_oracle_conditional = jax.jit(partial(bl.designs.l_optimal, constraint="conditional"))


@jax.jit
def _cheap(env: bl.Environment, design: "bl.designs.Design") -> dict[str, Array]:
    """The laws at pi* of all samplers that solve no design."""
    names = ("initial", "uniform", "mix_r", "greedy_leverage", *REFRESHED)
    return {name: _sampler(name, design)(env, env.log_target) for name in names}


def _sampler(name: str, design: "bl.designs.Design") -> bl.samplers.Sampler:
    sampler = getattr(bl.samplers, name)
    return Partial(sampler, design) if name == "paired" else sampler


def _blend(
    design: "bl.designs.Design", fixed: Array, weights: dict[str, Array], env: bl.Environment, log_policy: Array
) -> Array:
    return sum((weights[name] * _sampler(name, design)(env, log_policy) for name in REFRESHED), fixed)


def algorithm(zoo: Zoo, arm: str, num_pairs: float) -> bl.Algorithm:
    """DPO on fresh batches of the arm, refreshed with the policy where it can be."""
    mixture = ARMS[arm]
    weights = {name: jnp.asarray(mixture.get(name, 0.0)) for name in REFRESHED}
    start = jnp.zeros_like(zoo.design.pair_law)
    fixed = sum((w * zoo.components[name] for name, w in mixture.items() if name not in REFRESHED), start)
    return bl.algorithms.dpo(Partial(_blend, zoo.design, fixed, weights), num_pairs)


def simulate(
    instance: str, beta: float, arm: str, num_pairs: float, num_rounds: int, num_seeds: int
) -> dict[str, np.ndarray]:
    """2 n KL of every round but the first, (num_seeds, num_rounds - 1), and the failures.

    The first round brings the policy from pi_0 to pi*, up to n^{-1/2}.
    """
    zoo = build(instance, beta)
    chosen = algorithm(zoo, arm, num_pairs)
    metrics = ("kl_target", "existence")
    run = bl.simulate(chosen, zoo.env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=metrics, record_params=False)
    return {"price": 2 * num_pairs * run.metrics["kl_target"][:, 1:]} | failures(run.failures)


def predict(instance: str, beta: float) -> dict[str, np.ndarray]:
    """What is known of every arm at pi* without a draw, each (len(ARMS),); and the certified gaps of the oracles."""
    zoo = build(instance, beta)
    known = [_facts(zoo.env, zoo.law(arm)) for arm in ARMS]
    columns = {name: np.asarray([float(each[name]) for each in known]) for name in known[0]}
    return columns | {f"gap_{name}": np.asarray(gap) for name, gap in zoo.gaps.items()}


@jax.jit
def _facts(env: bl.Environment, law: Array) -> dict[str, Array]:
    """Price C_F and leverage G of a law (S, A, A); `deviation`, `remainder` and `drift` of a batch's KL.

    deviation: n KL is half of g'V*g with g ~ N(0, H^{-1}) (I6), so its relative deviation is sqrt(2 tr S^2)/tr S,
    S = V* H^{-1}. remainder: n times the order of the O(1/n) term. drift: sqrt(n) times a bound on the mean
    relative change of the price when the law is taken at pi_k, not pi*. A policy's log-probabilities then move by
    at most osc; those of (*) in `banditlab.samplers.tilted` by 2 (1 + beta) osc for the two actions and as much
    for the share, hence the price by the factor e^{4 (1 + beta) osc} at most; and E osc <= sqrt(G* C_F/n).
    """
    rows, _ = linalg.inverse_root(bl.theory.fisher_information(env, law))
    relative = rows @ bl.coverage.target_covariance(env) @ rows.T
    price = bl.theory.label_price(env, law)
    return {
        "price": price,
        "leverage": bl.theory.leverage(env, law),
        "deviation": jnp.sqrt(2 * jnp.sum(relative**2)) / jnp.trace(relative),
        "remainder": remainder_order(env, law),
        "drift": 4 * (1 + env.beta) * jnp.sqrt(bl.theory.target_leverage(env) * price),
    }


def seeds_needed(deviation: float, num_rounds: int, relative_error: float) -> int:
    """Seeds for which eight standard errors of the mean over rounds and seeds are below ``relative_error``.

    A tenth more than that, as the deviation of the sample is itself uncertain, in whole blocks of 128 seeds.
    """
    batches = 1.1 * (8 * deviation / relative_error) ** 2
    return 128 * math.ceil(batches / (128 * (num_rounds - 1)))
