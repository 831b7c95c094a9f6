"""Labels that no reward in the class explains: where each sampler ends, and what is left of the theory."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import banditlab as bl
from banditlab import plotting, policies
from banditlab.store import Shards, Table
from experiments.coverage import pseudo_true
from experiments.framework import statistics
from experiments.framework.checks import Check, interval
from experiments.framework.experiment import Experiment
from experiments.shared import equal_labels

CLAIM = (
    "A wrong temperature moves every sampler to the same, computable policy; label flips and intransitive noise move "
    "each sampler to its own pseudo-true policy, with the sandwich in place of C_F as its constant."
)
SAMPLERS = {"offline": "initial", "uniform": "uniform", "on_policy": "on_policy"}
NOISES = {
    "flips": "share of labels flipped",
    "temperature": "$\\log_2$ of the labeller's temperature (at 0 nothing is left)",
    "cycles": "strength of the cycles",
}


@dataclass(frozen=True)
class Config:
    """A staircase, and how strong each kind of noise is; so many labels that only the bias is left."""

    num_stairs: int = 4
    step: float = 0.5
    start: float = 1.0
    flips: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    temperature: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    cycles: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    num_pairs: float = 1e10
    num_rounds: int = 8
    num_seeds: int = 256
    sandwich_seeds: int = 32768


def win_probs(env: bl.Environment, noise: str, strength: float) -> np.ndarray:
    """P(i beats j), (S, A, A); with cycles sigma(r_i - r_j + strength c_ij), c_ij = +-1 by the parity of i - j."""
    gaps = np.asarray(bl.preferences.reward_gaps(env))
    if noise == "flips":
        return (1 - 2 * strength) / (1 + np.exp(-gaps)) + strength
    if noise == "temperature":
        return 1 / (1 + np.exp(-gaps * 2.0**-strength))
    places = np.arange(env.num_actions)
    distance = places[:, None] - places[None, :]
    signs = np.sign(distance) * np.where(distance % 2 == 0, -1.0, 1.0)
    return 1 / (1 + np.exp(-(gaps + strength * signs[None])))


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.staircase(config.num_stairs, config.step, config.start)
    shards.expect(len(NOISES) + 1)
    rows, failures = [], {}
    for noise in NOISES:
        strengths = getattr(config, noise)
        tables = [win_probs(env, noise, strength) for strength in strengths]
        data = shards.get(noise, (0, config.num_seeds), partial(_ends, env, tables, config, config.num_seeds))
        failures |= {f"{noise}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
        for i, (strength, table) in enumerate(zip(strengths, tables, strict=True)):
            for j, sampler in enumerate(SAMPLERS):
                truth = pseudo_true.after_rounds(env, table, sampler, config.num_rounds)
                row = {"noise": noise, "strength": strength, "sampler": sampler, "seeds": config.num_seeds}
                row |= {"num_pairs": config.num_pairs, "predicted": pseudo_true.kl_target(env, truth)}
                row |= {"remainder": float(_price(env)) / config.num_pairs, "sandwich": np.inf, "spread": np.inf}
                rows.append(row | {"spread_se": np.inf} | statistics.mean("kl", data["kl"][i, j]))
    for row in rows:
        if row["noise"] == "flips" and row["strength"] == config.flips[-1] and row["sampler"] == "offline":
            row |= _sandwich(env, config, shards)
    return Table.from_rows(rows, meta={"failures": failures})


def _price(env: bl.Environment):
    return bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))


def _simulate(env: bl.Environment, tables: list[np.ndarray], samplers: list[str], config: Config, seeds: int) -> bl.Run:
    """One program: samplers and labellers differ in numbers alone."""
    design = jax.jit(bl.designs.joint)(env)
    algorithms = []
    for table in tables:
        for sampler in samplers:
            weights = {name: jnp.asarray(float(SAMPLERS[sampler] == name)) for name in equal_labels.COMPONENTS}
            algorithms.append(
                bl.algorithms.dpo(
                    Partial(equal_labels.blend, design, weights), config.num_pairs,
                    labeller=bl.preferences.from_table(table), pooled=sampler != "on_policy",
                )
            )  # fmt: skip
    return bl.simulate_grid(
        algorithms, [env], num_rounds=config.num_rounds, num_seeds=seeds, metrics=("kl_target", "existence")
    )


def _ends(env: bl.Environment, tables: list[np.ndarray], config: Config, seeds: int) -> dict[str, np.ndarray]:
    """kl (strengths, samplers, seeds) after all rounds."""
    run = _simulate(env, tables, list(SAMPLERS), config, seeds)
    kl = run.metrics["kl_target"][..., -1].reshape(len(tables), len(SAMPLERS), seeds)
    return {"kl": kl} | {f"failed_{name}": np.asarray(count) for name, count in run.failures.items()}


def _sandwich(env: bl.Environment, config: Config, shards: Shards) -> dict[str, float]:
    """n ||theta_hat - theta_dagger||^2 in the norm of V(pi_dagger), offline labels with flips; and its prediction."""
    table = win_probs(env, "flips", config.flips[-1])
    truth = pseudo_true.minimiser(env, table, np.asarray(bl.samplers.initial(env, env.log_initial)))

    def compute() -> dict[str, np.ndarray]:
        run = _simulate(env, [table], ["offline"], config, config.sandwich_seeds)
        return {"params": run.params[0, :, -1]}

    error = shards.get("sandwich", (0, config.sandwich_seeds), compute)["params"] - truth
    spread = np.asarray(policies.feature_covariance(env, env.log_policy(jnp.asarray(truth))))
    labels = config.num_pairs * config.num_rounds
    square = labels * np.einsum("si,ij,sj->s", error, spread, error)
    pair_law = np.asarray(bl.samplers.initial(env, env.log_initial))
    predicted = float(np.trace(spread @ pseudo_true.sandwich(env, table, pair_law, truth)))
    return {"sandwich": predicted} | statistics.mean("spread", square)


def check(table: Table) -> list[Check]:
    checks = []
    for noise in NOISES:
        for sampler in SAMPLERS:
            rows = table.where(noise=noise, sampler=sampler)
            worst = int(np.argmax(np.abs(rows["kl"] - rows["predicted"]) / (4 * rows["kl_se"] + rows["remainder"])))
            claim = f"{noise}, {sampler}: KL(pi*||pi_K) at the pseudo-true policy, strength {rows['strength'][worst]:g}"
            claim += f" (the worst of {len(rows['kl'])})"
            checks.append(
                interval(
                    claim, rows["predicted"][worst], rows["kl"][worst], rows["kl_se"][worst],
                    allowance=rows["remainder"][worst], why="twice C_F(pi_0)/(2n): the statistical part",
                )
            )  # fmt: skip
    end = table.where(noise="flips", sampler="offline")
    end = end.where(strength=float(end["strength"].max()))
    claim = f"offline, {end['strength'][0]:g} flipped: n ||theta_hat - theta_dagger||^2 = tr(V A^-1 B A^-1)"
    return [*checks, interval(claim, end["sandwich"][0], end["spread"][0], end["spread_se"][0])]


def plot(table: Table):
    made, axes = plotting.figure(3, 1, height=5.6)
    for ax, (noise, label) in zip(axes, NOISES.items(), strict=True):
        for sampler in SAMPLERS:
            rows = table.where(noise=noise, sampler=sampler)
            bands = np.stack([rows["kl"] + shift * rows["kl_se"] for shift in (-4, 0, 4)])
            plotting.band(ax, rows["strength"], bands, sampler)
            plotting.theory(ax, rows["strength"], rows["predicted"], sampler)
        ax.set(yscale="log", xlabel=label, ylabel=r"KL($\pi^*\|\pi_K$)")
    plotting.legend(made, columns=2, theory_label="pseudo-true policy")
    plotting.caption(
        made,
        f"Staircase, 4 stairs, linear softmax: what is left of the KL at {table['num_pairs'][0]:.0e} labels a round, "
        f"mean over {table['seeds'][0]} seeds with four standard errors. On-policy fits the last batch, others all. "
        "Cycles: sigma(gap +- strength), the sign by the parity of i - j.",
    )
    return made


EXPERIMENT = Experiment(
    name="misspecification",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_stairs=2,
            num_rounds=3,
            flips=(0.2,),
            temperature=(1.0,),
            cycles=(0.5,),
            num_seeds=32,
            sandwich_seeds=256,
        ),
        "default": Config(),
        "paper": Config(num_seeds=2560, sandwich_seeds=327680),
    },
    run=run,
    check=check,
    plot=plot,
)
