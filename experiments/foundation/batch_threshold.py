"""On-policy DPO with fresh batches, round by round, over batch sizes: stall below, geometric convergence above."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import coverage, plotting
from banditlab.claims import Check, Experiment, Instance, Shards, Table, instance_field, interval, statistics, upper
from banditlab.store import failures
from experiments.shared import chosen_instance
from experiments.shared.chosen_instance import choose, words

CLAIM = (
    "Fresh on-policy batches converge geometrically to the floor C_F(pi*)/(2n), in fewer rounds the larger the batch; "
    "above Proposition 4's threshold its recursion bounds every round."
)
TWICE = 2.0  # a run has arrived when its KL is within this factor of the floor
USUAL = "staircase"


@dataclass(frozen=True)
class Config:
    """A staircase (`instance` in its place), batch sizes for the curves, and one above the (loose) threshold."""

    num_stairs: int = 6
    step: float = 0.5
    start: float = 3.0
    batches: tuple[int, ...] = (50, 200, 800, 3200, 12800)
    num_rounds: int = 12
    num_seeds: int = 1024
    ridge: float = 1.0
    large_batch: float = 1e14
    large_seeds: int = 16384
    beta: float = 1.0
    instance: Instance | None = instance_field("num_stairs", "step", "start", "beta")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """The environment; every batch size and round (round 0 is pi_0); the recursion at the largest batch, by round."""
    usual = partial(bl.instances.staircase, config.num_stairs, config.step, config.start, config.beta)
    env, environment = choose(config.instance, USUAL, usual)
    floor = float(bl.theory.predicted_kl(env, bl.samplers.on_policy(env, env.log_target), 1.0))
    arms = [(float(n), config.num_seeds, config.ridge) for n in config.batches]
    arms.append((config.large_batch, config.large_seeds, 0.0))
    shards.expect(len(arms))
    curves, bounds = [], []
    for n, seeds, ridge in arms:
        data = shards.get(f"n={n:g}", (0, seeds), partial(_run, env, n, config.num_rounds, seeds, ridge))
        bounds.append(data["step_over_bound"])
        for k, kl in enumerate([data["start"], *data["kl"].T]):
            row = {"num_pairs": n, "round": k, "seeds": seeds, "ridge": ridge, "floor": floor / n}
            row |= statistics.quantiles("kl", kl) | statistics.mean("kl", kl)
            curves.append(row | statistics.mean("arrived", (kl <= TWICE * floor / n).astype(float)))
    # Of the last arm alone: the bound is for batches without ridge, above the threshold.
    n, seeds, _ = arms[-1]
    recursion = [
        {"num_pairs": n, "round": k, "seeds": seeds} | statistics.mean("step_over_bound", step)
        for k, step in enumerate(bounds[-1].T[1:], 1)
    ]
    tables = {"environment": [environment], "curves": curves, "recursion": recursion}
    return {part: Table.from_rows(rows) for part, rows in tables.items()}


def _run(env: bl.Environment, num_pairs: float, num_rounds: int, num_seeds: int, ridge: float) -> dict[str, np.ndarray]:
    algorithm = bl.algorithms.on_policy_dpo(num_pairs, ridge=ridge)
    run = bl.simulate(algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=("kl_target", "existence"))
    bound = np.asarray(_step_over_bound(env, jnp.float64(num_pairs), run.params))
    return {
        "kl": run.metrics["kl_target"], "start": run.initial["kl_target"], "step_over_bound": bound
    } | failures(run.failures)  # fmt: skip


@jax.jit
def _step_over_bound(env: bl.Environment, num_pairs, params):
    """u_{k+1}^2 over (G* Gam / n) e^{u_k}, the square of Proposition 4's recursion; (num_seeds, num_rounds + 1)."""
    spread = coverage.target_covariance(env)
    start = jnp.broadcast_to(env.start_params[None, None, :], (params.shape[0], 1, params.shape[2]))
    error = jnp.concatenate([start, params], axis=1) - jnp.asarray(env.target_params)[None, None, :]
    leverage = bl.theory.target_leverage(env)
    square = leverage * jnp.einsum("ski,ij,skj->sk", error, spread, error)
    allowed = leverage * bl.theory.statistical_radius(env) / num_pairs * jnp.exp(jnp.sqrt(square[:, :-1]))
    return jnp.concatenate([jnp.zeros_like(square[:, :1]), square[:, 1:] / allowed], axis=1)


def check(tables: Mapping[str, Table]) -> list[Check]:
    """Bound and floor at the largest batch; on the staircase, whose start is far from pi*, the order of the batches."""
    curves, recursion = tables["curves"], tables["recursion"]
    n = recursion["num_pairs"][0]
    worst = int(np.argmax(recursion["step_over_bound"]))
    claim = f"E u_(k+1)^2 over the square of Proposition 4's bound, worst round, n = {n:.0e}"
    checks = [upper(claim, 1.0, recursion["step_over_bound"][worst], recursion["step_over_bound_se"][worst])]
    end = curves.where(num_pairs=n, round=int(curves["round"].max()))
    claim = f"floor of fresh batches: n KL = C_F(pi*)/2 after {end['round'][0]} rounds, n = {n:.0e}"
    checks.append(interval(claim, *(n * end[name][0] for name in ("floor", "kl", "kl_se"))))
    batches = np.unique(curves["num_pairs"])
    if tables["environment"]["instance"][0] == USUAL and len(batches) > 1:
        rises = np.diff([_rounds_to_floor(curves.where(num_pairs=n)) for n in batches])
        claim = "rounds until half the runs are within twice the floor: largest rise from one batch to a larger one"
        checks.append(upper(claim, 0.0, float(rises.max()), why="counts of rounds; medians over all seeds"))
    return checks


def _rounds_to_floor(rows: Table) -> int:
    """First round at which half the runs have arrived; one past the last round if none."""
    arrived = rows["arrived"] >= 0.5
    return int(arrived.argmax()) if arrived.any() else len(arrived)


def plot(tables: Mapping[str, Table]):
    """KL by round above, for every batch size; below, the bound of the recursion at the largest batch."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.4, height_ratios=(2.2, 1), sharex=True)
    curves, recursion = tables["curves"], tables["recursion"]
    large = recursion["num_pairs"][0]
    batches = [n for n in np.unique(curves["num_pairs"]) if n != large]
    for n, shade in zip(batches, plotting.shades("on_policy", len(batches)), strict=True):
        rows = curves.where(num_pairs=n)
        label = f"$n$ = {plotting.number(n)}"
        plotting.mean(top, rows["round"], rows["kl"], rows["kl_se"], "on_policy", label=label, color=shade)
        plotting.theory(top, rows["round"][-4:], rows["floor"][-4:], color=shade)
    top.set(yscale="log", ylabel=r"KL($\pi^*\|\pi$) [nats]", title="Larger batches reach their floor in fewer rounds")
    measured = recursion["step_over_bound"], recursion["step_over_bound_se"]
    plotting.mean(bottom, recursion["round"], *measured, "on_policy", label="")
    bound = plotting.theory(bottom, recursion["round"], np.ones(len(recursion)))
    plotting.direct_label(bound, "Proposition 4", place=0, offset=(0, -6))
    bottom.set(xlabel="round", ylabel=r"$E\,u_{k+1}^2$ / bound", ylim=(0, 1.2))
    bottom.set_title(f"Above the threshold ($n$ = {plotting.number(large)}) the bound\nholds in every round")
    plotting.legend(made, columns=3, theory_label="floor")
    rows = curves.where(num_pairs=batches[-1])
    plotting.caption(
        made,
        f"{words(tables['environment'])}, on-policy DPO on fresh batches of $n$ labels: means. {plotting.BARS} Above: "
        f"{rows['seeds'][0]:,} seeds; ridge {rows['ridge'][0]:g} on the sum of losses, centred at the last iterate, "
        r"which lowers the floor of the small batches; dashed: $C_F(\pi^*)/(2n)$, without ridge. Below: "
        rf"{recursion['seeds'][0]:,} seeds, no ridge; $u = \sqrt{{G^*}}\,\|\theta-\theta^*\|_{{V^*}}$, over "
        "the square of Proposition 4's recursion.",
    )
    return made


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(batches=(200, 3200), num_rounds=6, num_seeds=64, large_seeds=128),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=163840),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "environment": chosen_instance.COLUMNS,
        "curves": {
            "floor": "C_F(pi*)/(2n), the KL at which fresh batches of n labels end without ridge [nats]",
            "arrived": f"share of the seeds whose KL is at most {TWICE:g} times the floor",
        },
        "recursion": {
            "step_over_bound": "square of u after the round over the square of Proposition 4's bound on it, "
            "u = sqrt(G*) ||theta - theta*|| in the norm of V*, mean over seeds",
        },
    },
)
