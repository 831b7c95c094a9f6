"""On-policy DPO with fresh batches, round by round, over batch sizes: stall below, geometric convergence above."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import coverage, plotting
from banditlab.claims import statistics
from banditlab.claims.checks import Check, interval, upper
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table

CLAIM = (
    "Fresh on-policy batches converge geometrically to the floor C_F(pi*)/(2n), in fewer rounds the larger the batch; "
    "above Proposition 4's threshold its recursion bounds every round."
)
TWICE = 2.0  # a run has arrived when its KL is within this factor of the floor


@dataclass(frozen=True)
class Config:
    """A staircase, batch sizes for the curves, and one batch size above the (loose) threshold for the recursion."""

    num_stairs: int = 6
    step: float = 0.5
    start: float = 3.0
    batches: tuple[int, ...] = (50, 200, 800, 3200, 12800)
    num_rounds: int = 12
    num_seeds: int = 1024
    ridge: float = 1.0
    large_batch: float = 1e14
    large_seeds: int = 16384


def run(config: Config, shards: Shards) -> Table:
    env = bl.instances.staircase(config.num_stairs, config.step, config.start)
    floor = bl.theory.predicted_kl(env, bl.samplers.on_policy(env, env.log_target), 1.0)
    arms = [(float(n), config.num_seeds, config.ridge) for n in config.batches]
    arms.append((config.large_batch, config.large_seeds, 0.0))
    shards.expect(len(arms))
    rows, failures = [], {}
    for n, seeds, ridge in arms:
        data = shards.get(f"n={n:g}", (0, seeds), partial(_run, env, n, config.num_rounds, seeds, ridge))
        failures |= {f"n={n:g}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
        kl = np.concatenate([data["start"][:, None], data["kl"]], axis=1)
        for k in range(config.num_rounds + 1):
            row = {"num_pairs": float(n), "round": k, "seeds": seeds, "ridge": ridge, "floor": float(floor) / n}
            row |= statistics.quantiles("kl", kl[:, k]) | statistics.mean("kl_mean", kl[:, k])
            arrived = (kl[:, k] <= TWICE * float(floor) / n).astype(float)
            row |= statistics.mean("arrived", arrived) | statistics.mean(
                "step_over_bound", data["step_over_bound"][:, k]
            )
            rows.append(row)
    return Table.from_rows(rows, meta={"failures": failures})


def _run(env: bl.Environment, num_pairs: float, num_rounds: int, num_seeds: int, ridge: float) -> dict[str, np.ndarray]:
    algorithm = bl.algorithms.on_policy_dpo(num_pairs, ridge=ridge)
    run = bl.simulate(algorithm, env, num_rounds=num_rounds, num_seeds=num_seeds, metrics=("kl_target", "existence"))
    failures = {f"failed_{name}": np.asarray(count) for name, count in run.failures.items()}
    bound = np.asarray(_step_over_bound(env, jnp.float64(num_pairs), run.params))
    return {"kl": run.metrics["kl_target"], "start": run.initial["kl_target"], "step_over_bound": bound} | failures


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


def check(table: Table) -> list[Check]:
    batches = np.unique(table["num_pairs"])
    last = int(table["round"].max())
    large = table.where(num_pairs=batches[-1])
    checks = []
    worst = int(np.argmax(large["step_over_bound"]))
    claim = f"E u_(k+1)^2 over the square of Proposition 4's bound, worst round, n = {batches[-1]:.0e}"
    checks.append(upper(claim, 1.0, large["step_over_bound"][worst], large["step_over_bound_se"][worst]))
    end = large.where(round=last)
    claim = f"floor of fresh batches: n KL = C_F(pi*)/2 after {last} rounds, n = {batches[-1]:.0e}"
    scale = batches[-1]
    checks.append(interval(claim, end["floor"][0] * scale, end["kl_mean"][0] * scale, end["kl_mean_se"][0] * scale))
    rounds = [_rounds_to_floor(table.where(num_pairs=n)) for n in batches]
    claim = "rounds until half the runs are within twice the floor: largest rise from one batch size to a larger one"
    return [*checks, upper(claim, 0.0, float(np.diff(rounds).max()), why="counts of rounds; medians over all seeds")]


def _rounds_to_floor(rows: Table) -> int:
    """First round at which half the runs have arrived; one past the last round if none."""
    arrived = rows["arrived"] >= 0.5
    return int(arrived.argmax()) if arrived.any() else len(arrived)


def plot(table: Table):
    made, ax = plotting.figure(height=2.9)
    batches = [n for n in np.unique(table["num_pairs"]) if table.where(num_pairs=n)["ridge"][0] > 0]
    shades = plotting.shades("on_policy", len(batches))
    for n, shade in zip(batches, shades, strict=True):
        rows = table.where(num_pairs=n)
        quantiles = np.stack([rows[f"kl_{level}"] for level in statistics.BAND])
        plotting.band(ax, rows["round"], quantiles, "on_policy", label=f"n = {n:.0f}", color=shade)
        plotting.theory(ax, rows["round"][-4:], rows["floor"][-4:], "on_policy")
    drawn = table.where(num_pairs=batches[-1])
    ax.set(yscale="log", xlabel="round", ylabel=r"KL($\pi^*\|\pi$)")
    plotting.legend(made, columns=3, theory_label="floor")
    plotting.caption(
        made,
        f"Staircase, 6 stairs, linear softmax, on-policy DPO on fresh batches of n labels: median and 10-90% band over "
        f"{drawn['seeds'][0]} seeds; ridge {drawn['ridge'][0]:g} on the sum of losses, centred at the last iterate, "
        "which lowers the floor of the small batches. Dashed: C_F(pi*)/(2n), without ridge.",
    )
    return made


EXPERIMENT = Experiment(
    name="batch_threshold",
    claim=CLAIM,
    family="foundation",
    presets={
        "smoke": Config(batches=(200, 3200), num_rounds=6, num_seeds=64, large_seeds=128),
        "default": Config(),
        "paper": Config(num_seeds=10240, large_seeds=163840),
    },
    run=run,
    check=check,
    plot=plot,
)
