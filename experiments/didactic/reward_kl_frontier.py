"""Every algorithm's path in the plane of KL to the reference and expected reward, against the exact frontier of pi*."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.didactic import policies, training
from banditlab.didactic.problem import frontier, problem
from banditlab.didactic.settings import Settings
from banditlab.store import Shards, Table
from experiments.didactic import frontier_laws as laws
from experiments.didactic.frontier_view import plot
from experiments.framework.checks import Check, identity, lower, upper
from experiments.framework.experiment import Experiment
from experiments.framework.statistics import mean

CLAIM = (
    "No path passes the frontier of pi_ref e^{R/t}. REINFORCE with a KL penalty and RWR end within 2% of its gain, "
    "wherever the peak; Best-of-10, Pref-FT and IPO, which read ranks, reach at most 0.6 of it where the peak is rare, "
    "as in infinite data, and most near the mode; offline DPO there ends with less reward than pi_ref."
)
OFFLINE, ON_POLICY = "offline", "on_policy"
PROBLEMS = {"R1": 70.0, "R2": 20.0}
_NEVER = 1_000_000
_frontier = jax.jit(frontier)


# The losses that read the order of the rewards alone, and the strength they run at: N, a pair, the target.
RANKS = {"best_of_n": 10.0, "pref_ft": 2.0, "ipo": 3.0}


@dataclass(frozen=True)
class Arm:
    """An algorithm, who draws, and its own number (the same for both problems)."""

    algorithm: str
    sampler: str
    setting: str
    values: tuple[float, ...]


ARMS = (
    Arm("reinforce", ON_POLICY, "kl_weight", (0.1, 0.3)),
    Arm("best_of_n", ON_POLICY, "beta", (0.1,)),
    Arm("dpo", ON_POLICY, "beta", (0.1,)),
    Arm("rwr", OFFLINE, "beta", (0.1, 0.3)),
    Arm("best_of_n", OFFLINE, "beta", (0.1,)),
    Arm("pref_ft", OFFLINE, "beta", (0.1,)),
    Arm("ipo", OFFLINE, "ipo_target", (3.0,)),
    Arm("dpo", OFFLINE, "beta", (0.1,)),
)


@dataclass(frozen=True)
class Config:
    """One learning rate for all, small enough for the paths to be the losses' own; steps, states and draws of each."""

    num_steps: int = 320
    num_states: int = 8
    num_samples: int = 10
    learning_rate: float = 0.03
    num_seeds: int = 100
    seed: int = 0

    @property
    def record_at(self) -> tuple[int, ...]:
        """0, a few, then 16 at equal distances."""
        return (0, 2, 5, 10, *(self.num_steps * k // 16 for k in range(1, 17)))


def run(config: Config, shards: Shards) -> Table:
    """Rows: paths, mean over seeds and the worst of them; curves and limits of infinite data."""
    shards.expect(len(ARMS))
    rows, failures = _exact(config), {}
    for arm in ARMS:
        name = f"{arm.algorithm}, {arm.sampler}"
        data = shards.get(name, (0, config.num_seeds), partial(train, config, arm))
        failures[f"{name}: not finite"] = int(data["failed"])
        rows += _paths(config, arm, data)
    return Table.from_rows(rows, meta={"failures": failures})


def _lanes(arm: Arm) -> list[tuple[str, float]]:
    return [(name, value) for name in PROBLEMS for value in arm.values]


def train(config: Config, arm: Arm) -> dict[str, np.ndarray]:
    """reward, kl_reference, kl_target (lanes, seeds, R); pi* is that of REINFORCE's own penalty."""
    peaks = np.asarray([PROBLEMS[name] for name, _ in _lanes(arm)])
    values = np.asarray([value for _, value in _lanes(arm)])
    settings = {arm.setting: values} | ({"beta": values} if arm.setting == "kl_weight" else {})
    found = training.train_grid(
        arm.algorithm,
        policies.tabular(),
        jax.vmap(problem)(jnp.asarray(peaks)),
        num_steps=config.num_steps,
        num_states=config.num_states,
        num_samples=config.num_samples,
        on_policy=True,
        refresh=_NEVER if arm.sampler == OFFLINE else 1,  # the reference draws fresh batches to the end
        seeds=config.num_seeds,
        settings=Settings(learning_rate=config.learning_rate, **settings),
        record_at=config.record_at,
        seed=config.seed,
    )
    kept = {name: found[name] for name in ("reward", "kl_reference", "kl_target")}
    return kept | {"failed": np.asarray(training.failures(found)["nonfinite"])}


def _row(part: str, case: str, algorithm: str, sampler: str, **columns: float) -> dict:
    names = (
        "value",
        "step",
        "kl",
        "reward",
        "reward_se",
        "share",
        "share_se",
        "excess",
        "dual",
        "identity",
        "kl_target",
    )
    labels = {"part": part, "case": case, "algorithm": algorithm, "sampler": sampler}
    return labels | dict.fromkeys((*names, "allowed"), 0.0) | {key: float(number) for key, number in columns.items()}


def _paths(config: Config, arm: Arm, data: dict[str, np.ndarray]) -> list[dict]:
    """Means along the path; share of the frontier's gain that is reached; how far any seed is above the frontier."""
    rows = []
    for lane, (case, value) in enumerate(_lanes(arm)):
        bandit = problem(PROBLEMS[case])
        tables = np.asarray(bandit.reward), np.asarray(bandit.log_reference)
        start = float(np.exp(tables[1]) @ tables[0])
        spread = float(np.sqrt(np.exp(tables[1]) @ (tables[0] - start) ** 2))
        frontiers = np.asarray(_frontier(bandit, np.maximum(data["kl_reference"][lane], 0.0)))
        for place, step in enumerate(config.record_at):
            reward, kl, aim = (data[k][lane, :, place] for k in ("reward", "kl_reference", "kl_target"))
            best = frontiers[:, place]
            numbers = {"value": value, "step": step, "kl": kl.mean(), "kl_target": aim.mean()} | mean("reward", reward)
            if step > 0:
                numbers |= mean("share", (reward - start) / (best - start))
            # A divergence known to 1e-15 is a reward known to sqrt(2 Var 1e-15) at the start of the frontier.
            numbers |= {"excess": (reward - best).max(), "allowed": spread * np.sqrt(2e-15)}
            numbers |= {"dual": (reward - laws.dual_bound(*tables, kl)).max()}
            if arm.setting == "kl_weight":
                objective = laws.log_partition(*tables, value) - value * aim
                numbers |= {"identity": np.abs(reward - value * kl - objective).max()}
            rows.append(_row("path", case, arm.algorithm, arm.sampler, **numbers))
    return rows


def _exact(config: Config) -> list[dict]:
    """The frontier by temperatures, and where infinite data lead: laws of the maximum, rank tilts, reward tilts."""
    rows = []
    for case, peak in PROBLEMS.items():
        bandit = problem(peak)
        tables = np.asarray(bandit.reward), np.asarray(bandit.log_reference)
        start = float(np.exp(tables[1]) @ tables[0])
        for value in np.geomspace(0.02, 30.0, 60):
            log_law = laws.tilted(*tables, value)
            kl, reward = laws.place(tables, log_law)
            rows.append(_row("frontier", case, "rwr", OFFLINE, value=value, kl=kl, reward=reward))
        limits = [("best_of_n", float(n), laws.maximum_law(*tables, n)) for n in (2, 4, config.num_samples, 32, 128)]
        limits += [("pref_ft", 2.0, laws.winner_law(*tables))]
        limits += [("ipo", target, laws.rank_tilt(*tables, target)) for target in (0.5, 1.0, 2.0, 3.0, 6.0, 12.0)]
        limits += [("rwr", beta, laws.tilted(*tables, beta)) for beta in (0.1, 0.3)]
        places = [laws.place(tables, log_law) for _, _, log_law in limits]
        frontiers = np.asarray(_frontier(bandit, np.asarray([kl for kl, _ in places])))
        for (algorithm, value, _), (kl, reward), best in zip(limits, places, frontiers.tolist(), strict=True):
            share = (reward - start) / (best - start)
            numbers = {"value": value, "kl": kl, "reward": reward, "share": share, "excess": reward - best}
            rows.append(_row("limit", case, algorithm, OFFLINE, **numbers))
    return rows


def check(table: Table) -> list[Check]:
    """Nothing above the frontier; tilts on it; who ends on it and who far below."""
    paths, limits = table.where(part="path"), table.where(part="limit")
    checks = []
    for arm in ARMS:
        rows = paths.where(algorithm=arm.algorithm, sampler=arm.sampler)
        name = f"{arm.algorithm} {arm.sampler.replace('_', '-')}"
        claim = f"{name}: reward above the frontier, both problems, every seed and record"
        allowed, why = float(rows["allowed"].min()), "divergences known to 1e-15"
        checks.append(upper(claim, 0.0, rows["excess"].max(), allowance=allowed, why=why))
        claim = f"{name}: reward above min_t t KL + t log E_ref e^(R/t), the same"
        checks.append(upper(claim, 0.0, rows["dual"].max(), allowance=1e-12, why="rounding"))
    for case in PROBLEMS:
        for beta in ARMS[3].values:
            one = limits.where(case=case, algorithm="rwr", value=beta)
            best = one["reward"][0] - one["excess"][0]
            claim = f"{case}: frontier at the divergence of pi_ref e^(R/{beta:g})"
            checks.append(identity(claim, one["reward"][0], best, rtol=1e-9, why="bisection in double precision"))
        claim = f"{case}: E_pi R - beta KL(pi||pi_ref) = beta log Z - beta KL(pi||pi*), worst of REINFORCE's records"
        worst = paths.where(case=case, algorithm="reinforce")["identity"].max()
        checks.append(upper(claim, 1e-12, worst))
    return checks + _ends(paths, limits)


def _ends(paths: Table, limits: Table) -> list[Check]:
    """On the frontier or below it, at the end and in infinite data."""
    last = paths.where(step=paths["step"].max())
    checks = []
    for algorithm in ("reinforce", "rwr"):
        for case in PROBLEMS:
            rows = last.where(case=case, algorithm=algorithm)
            claim = f"{case}, {algorithm}, every strength: share of the frontier's gain at the end, less 4 errors"
            checks.append(lower(claim, 0.98, (rows["share"] - 4 * rows["share_se"]).min()))
    for name, value in RANKS.items():
        limit = limits.where(case="R1", algorithm=name, value=value)["share"][0]
        checks.append(upper(f"R1, {name} in infinite data: share of the frontier's gain", 0.6, limit))
        rows = last.where(case="R1", algorithm=name, sampler=OFFLINE)
        claim = f"R1, {name} offline: share of the frontier's gain at the end, and 4 errors"
        checks.append(upper(claim, 0.6, rows["share"][0] + 4 * rows["share_se"][0]))
        near = last.where(case="R2", algorithm=name, sampler=OFFLINE)
        gap = near["share"][0] - rows["share"][0] - 4 * np.hypot(near["share_se"][0], rows["share_se"][0])
        claim = f"{name} offline: share of the frontier's gain on R2 less that on R1, less 4 standard errors"
        checks.append(lower(claim, 0.0, gap))
    start = paths.where(case="R1", algorithm="dpo", sampler=OFFLINE, step=0.0)["reward"][0]
    end = last.where(case="R1", algorithm="dpo", sampler=OFFLINE)
    fall = start - end["reward"][0] - 4 * end["reward_se"][0]
    checks.append(lower("R1, dpo offline: reward lost against pi_ref, less 4 standard errors", 0.0, fall))
    return checks


EXPERIMENT = Experiment(
    name="reward_kl_frontier",
    claim=CLAIM,
    family="didactic",
    presets={"smoke": Config(num_seeds=16), "default": Config(), "paper": Config(num_seeds=2000)},
    run=run,
    check=check,
    plot=plot,
)
