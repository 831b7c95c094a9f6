"""Cells of the phase diagram: one batch size from one initial coverage; simulated, and summed exactly on the chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import policies
from banditlab.exact import chain
from banditlab.store import failures

if TYPE_CHECKING:
    from experiments.coverage.phase_diagram.experiment import Config

SUMMED = ("none", "cap")  # regularisers under which the chain's law is a finite sum
SHARES = ("success", "absorbed", "certified", "certified_success", "sure", "sure_success")
COLUMNS = tuple(f"{name}{end}" for name in (*SHARES, "rate") for end in ("", "_se"))

# (dial, beta) -> environment: the initial coverage alone moves.
INSTANCES: Mapping[str, Callable[[float, float], bl.Environment]] = {
    "chain": lambda start, beta: bl.instances.chain(start=-start, beta=beta),
    "needle": lambda decades, beta: bl.instances.needle(4, 10.0**-decades, beta),
    "staircase": lambda start, beta: bl.instances.staircase(3, start=start, beta=beta),
}


def options(config: Config, regulariser: str) -> dict:
    """Of the fit. Without ridge and cap, absorption is a matter of time; each of the others is one way out."""
    return {
        "ridge": config.ridge if regulariser.startswith("ridge") else 0.0,
        "max_norm": config.max_norm if regulariser == "cap" else np.inf,
        "center": "reference" if regulariser == "ridge_reference" else "previous",
    }


def floor(env: bl.Environment) -> float:
    """n times the floor of fresh batches: C_F(pi*)/2."""
    return float(bl.theory.predicted_kl(env, bl.samplers.on_policy(env, env.log_target), 1.0))


def simulate(
    config: Config, envs: Sequence[bl.Environment], batches: Sequence[float], regulariser: str
) -> dict[str, np.ndarray]:
    """Every batch size from every environment in one compilation: per cell (E, B), the share of runs that ..

    success: end within factor of the floor; absorbed: end with a sampler that expects less than one informative pair
    in its next batch; certified, sure: have a first batch (all batches) whose optimum Proposition 3 proves;
    certified_success, sure_success: and end well; and rate: the mean of log(KL_k/KL_0)/k, k the round of arrival.
    The failures are seed-rounds, in all.
    """
    chosen = options(config, regulariser)
    cells = [(env, n) for env in envs for n in batches]
    run = bl.simulate_grid(
        [bl.algorithms.on_policy_dpo(n, **chosen, max_pairs=1e15) for _, n in cells],
        [env for env, _ in cells],
        num_rounds=config.num_rounds, num_seeds=config.num_seeds, metrics=("kl_target", "existence"),
        common_seeds=False,
    )  # fmt: skip
    scaled = np.asarray([n / floor(env) for env, n in cells])[:, None]
    end = run.metrics["kl_target"][..., -1] * scaled <= config.factor
    exists = run.metrics["existence"] == bl.Existence.exists
    values = {
        "success": end,
        "absorbed": np.stack(
            [_absorbed(*cell, jnp.asarray(params[:, -1])) for cell, params in zip(cells, run.params, strict=True)]
        ),
        "certified": exists[..., 0],
        "certified_success": exists[..., 0] & end,
        "sure": exists.all(axis=-1),
        "sure_success": exists.all(axis=-1) & end,
        "rate": _rate(run.initial["kl_target"], run.metrics["kl_target"], scaled),
    }
    shape = (len(envs), len(batches), config.num_seeds)
    summary = {name: value.reshape(shape).mean(axis=-1) for name, value in values.items()}
    errors = {f"{name}_se": v.reshape(shape).std(axis=-1, ddof=1) / shape[-1] ** 0.5 for name, v in values.items()}
    return summary | errors | failures(run.failures)


def exact(config: Config, starts: Sequence[float], batches: Sequence[int], regulariser: str) -> dict[str, np.ndarray]:
    """success and absorbed of the chain, (E, B), by summation over its law; `regulariser` is none or cap."""
    max_norm, beta = options(config, regulariser)["max_norm"], config.beta
    cells = {"success": [], "absorbed": []}
    for start in starts:
        env = INSTANCES["chain"](start, beta)
        target = float(np.asarray(env.target_params)[0])
        for n in batches:
            settings = {"target": target, "beta": beta, "max_norm": max_norm, "initial": -start}
            law = chain.on_policy_law(n, config.num_rounds, **settings)
            allowed = config.factor * floor(env) / n
            end = law.probs[-1]
            share = np.where(np.isinf(law.params), 0.0, 0.5 / np.cosh(np.clip(law.params, -700, 700) / 2) ** 2)
            cells["success"].append(end[chain.kl_target(law.params, target) <= allowed].sum())
            cells["absorbed"].append(end[n * share < 1.0].sum())
    return {name: np.reshape(values, (len(starts), len(batches))) for name, values in cells.items()}


@jax.jit
def _absorbed(env: bl.Environment, num_pairs, params):
    """(N,) bool: the policies expect less than one pair of different actions among num_pairs."""

    def different(params):
        pairs = policies.independent_pairs(env, env.log_policy(params), env.log_policy(params))
        return jnp.sum(jnp.where(jnp.eye(env.num_actions, dtype=bool)[None], 0.0, pairs))

    return num_pairs * jax.lax.map(different, params, batch_size=256) < 1.0


def _rate(start: np.ndarray, kl: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """(cells, N) log(KL_k/KL_0)/k at the first round k within twice the floor, or at the last one."""
    arrived = kl * scaled[..., None] <= 2.0
    last = np.where(arrived.any(axis=-1), arrived.argmax(axis=-1), kl.shape[-1] - 1)
    end = np.take_along_axis(kl, last[..., None], axis=-1)[..., 0]
    return np.log(np.maximum(end, 1e-300) / start) / (last + 1)
