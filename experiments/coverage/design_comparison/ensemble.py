"""Designs of many environments at once, by vmap: Proposition 6, the sigma'-aware ones and the oracle."""

import dataclasses
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab.claims import side_by_side
from experiments.coverage.design_comparison import rounds
from experiments.shared import policy_draws, sampler_zoo

GAP, ORACLE_GAP = 1e-9, 1e-6
NAMED = tuple(sampler_zoo.INSTANCES)
DESIGNS = ("joint", "triple", "conditional_nodes", "conditional_pairs", "reweighted", "reweighted_conditional")
RIVALS = {
    "joint": "triple",
    "triple": "joint",
    "conditional_nodes": "conditional_pairs",
    "conditional_pairs": "conditional_nodes",
    "reweighted": "triple",
    "reweighted_conditional": "conditional_pairs",
}
# What Proposition 6 bounds the largest leverage by, over d, and whether prompts are free: else divided by min rho.
LEVERAGE: Mapping[str, tuple[float, bool]] = {
    "joint": (2.0, True), "triple": (1.0, True), "conditional_nodes": (2.0, False), "conditional_pairs": (1.0, False)
}  # fmt: skip
# (larger, smaller, matrix): the first maximises the log det over a set that has the second in it.
ORDERED = (
    ("triple", "joint", "second"),
    ("triple", "conditional_pairs", "second"),
    ("joint", "conditional_nodes", "second"),
    ("conditional_pairs", "conditional_nodes", "second"),
    ("reweighted", "triple", "information"),
    ("reweighted", "reweighted_conditional", "information"),
    ("reweighted_conditional", "conditional_pairs", "information"),
)


def environments(num_random: int, seed: int, beta: float = 1.0) -> bl.Environment:
    """The named instances, then random ones of their shape (S, A, d) = (2, 5, 4), as one pytree."""
    named = [sampler_zoo.shaped(make(beta=beta)) for make in sampler_zoo.INSTANCES.values()]
    named = [dataclasses.replace(env, initial_params=None) for env in named]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *named)
    shape = named[0].num_contexts, named[0].num_actions, named[0].num_features
    drawn, _ = policy_draws.random_instances(shape, np.random.default_rng(seed), num_random)
    drawn = dataclasses.replace(drawn, beta=jnp.full_like(drawn.beta, beta))
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), stacked, drawn)


# One compiled program each, over all environments; at a constant reward the design for H is that for M.
SOLVE = {
    "joint": jax.jit(jax.vmap(bl.designs.joint)),
    "conditional_nodes": jax.jit(jax.vmap(bl.designs.conditional_nodes)),
    "free": jax.jit(jax.vmap(bl.designs.d_optimal)),
    "conditional": jax.jit(jax.vmap(partial(bl.designs.d_optimal, constraint="conditional"))),
    "oracle": jax.jit(jax.vmap(bl.designs.l_optimal)),
}


def solve(envs: bl.Environment) -> dict[str, "bl.designs.Design"]:
    """Every design, and the oracle, of every environment (leading axis)."""
    flat = dataclasses.replace(envs, target_params=jnp.zeros_like(envs.features[:, 0, 0]))
    tasks = {
        "joint": ("joint", envs),
        "conditional_nodes": ("conditional_nodes", envs),
        "triple": ("free", flat),
        "conditional_pairs": ("conditional", flat),
        "reweighted": ("free", envs),
        "reweighted_conditional": ("conditional", envs),
        "oracle": ("oracle", envs),
    }
    # Five programs to compile, each on one core: two at a time.
    solved = side_by_side([partial(SOLVE[name], given) for name, given in tasks.values()])
    return dict(zip(tasks, solved, strict=True))


def measure(num_random: int, seed: int, beta: float) -> dict[str, np.ndarray]:
    """Per design, keys name_fact, each (environments,): gap, price, leverage over its bound, trace, log dets.

    Prices also of on-policy pairs and of the hybrid on the triple design, both at pi*; law_triple and law_oracle
    (named, S, A, A) for the runs on the named instances; size, ().
    """
    envs = environments(num_random, seed, beta)
    designs = solve(envs)
    smallest = jnp.min(envs.context_probs, axis=1)
    size = envs.features.shape[-1]
    columns = {"size": np.asarray(size)}
    for name, design in designs.items():
        facts = _facts(envs, design.pair_law) | {"gap": design.duality_gap}
        if name in LEVERAGE:
            factor, free = LEVERAGE[name]
            facts["leverage"] = facts["leverage"] * (1.0 if free else smallest) / (factor * size)
        columns |= {f"{name}_{key}": np.asarray(value) for key, value in facts.items()}
    paired = jax.vmap(lambda env, law: rounds.paired(law, env.log_target))(envs, designs["triple"].pair_law)
    on_policy = jax.vmap(lambda env: bl.samplers.on_policy(env, env.log_target))(envs)
    for name, law in (("hybrid_paired", paired), ("on_policy", on_policy)):
        columns[f"{name}_price"] = np.asarray(_facts(envs, law)["price"])
    for name in ("triple", "oracle"):
        columns[f"law_{name}"] = np.asarray(designs[name].pair_law[: len(NAMED)])
    return columns


@jax.jit
@jax.vmap
def _facts(env: bl.Environment, law: Array) -> dict[str, Array]:
    second, information = bl.theory.second_moment(env, law), bl.theory.fisher_information(env, law)
    return {
        "price": bl.theory.label_price(env, law),
        "leverage": bl.theory.leverage(env, law),
        "trace": bl.coverage.trace_ratio(second, bl.coverage.target_covariance(env)),
        "second": jnp.linalg.slogdet(second)[1],
        "information": jnp.linalg.slogdet(information)[1],
    }
