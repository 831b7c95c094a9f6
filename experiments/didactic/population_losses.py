"""Infinite-sample versions of the didactic losses: where each one goes, and where it ends, against large samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from banditlab import plotting
from banditlab.didactic.problem import Problem, problem
from banditlab.store import Shards, Table
from experiments.didactic import population_laws as laws
from experiments.didactic import population_runs as runs
from experiments.framework.checks import Check, identity, interval, upper
from experiments.framework.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLAIM = (
    "With infinite samples Best-of-N ends at the law of the best of N draws, RWR and AWR at a tilt by the reward, "
    "Pref-FT at the law of winners, DPO at a tilt by the reward, IPO at a tilt by its rank; offline REINFORCE and "
    "Best-of-N with a negative term end nowhere."
)
PEAKS = {"R1": 70.0, "R2": 20.0}
# Reward and policy of each lane of the growths.
LANES = {"R1, reference": ("R1", "reference"), "R2, uniform": ("R2", "uniform")}
ENDLESS = ("best_of_n_negative", "best_of_n_worst", "reinforce")
LOOKS = {"best_of_n": "on_policy", "rwr": "design", "awr": "design_one_round", "pref_ft": "hybrid_paired"}
LOOKS |= {"dpo": "dpo", "ipo": "ipo"}
NAMES = {"best_of_n": "Best-of-N", "rwr": "RWR", "awr": "AWR", "pref_ft": "Pref-FT", "dpo": "DPO", "ipo": "IPO"}
NAMES |= {"best_of_n_negative": "BoN - rest", "best_of_n_worst": "BoN - worst", "reinforce": "REINFORCE"}
NAMES |= {"reinforce on-policy": "REINFORCE, own", "ppo on-policy": "PPO, own"}
# Published in the setting's own description: E of the best reward of ten draws from the reference.
BEST_OF_TEN = {"R1": 0.3135, "R2": 0.9401}
# N, beta, temperature, IPO's target, negative weight.
_LIMITS = laws.Numbers(10, 0.25, 0.2, 1.0, 0.1)
_TRAINING = laws.Numbers(10, 1.0, 0.5, 1.0, 0.1)


@dataclass(frozen=True)
class Config:
    """Growths: batches of states of draws. Training: Adam on all of a data set, on 20 actions, whose masses are large.

    numbers: of the limits, and of the growths with their own N. learning_rate: large enough for the masses that vanish
    in the limit, which Adam sends there like 1/t.
    """

    numbers: laws.Numbers = _LIMITS
    batches: tuple[int, int, int] = (272, 1024, 4)
    trained: tuple[str, ...] = ("best_of_n", "rwr", "awr", "pref_ft", "dpo", "ipo")
    train_numbers: laws.Numbers = _TRAINING
    train_peak: float = 4.0
    train_width: float = 2.0
    train_actions: int = 20
    train_states: int = 10_000
    train_steps: int = 240
    train_seeds: int = 4
    learning_rate: float = 0.3
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: law and value of the limits, coefficients of the endless, growths of E_pi R, trained limits."""
    shards.expect(1 + len(config.trained))
    rows = [*_limits(config), *_growths(config, shards)]
    failures = {}
    for name in config.trained:
        row, failed = _trained(config, name, shards)
        rows += [row, _exact("failed", "20 actions", name, 0.0, failed)]
        failures[f"{name}: runs that were not finite"] = failed
    return Table.from_rows(rows, meta={"failures": failures})


def _row(
    part: str, case: str, name: str, x: float, value: float, error: float, predicted: float, bias: float, left: float
):
    """bias: in standard errors; left: what training still moves, told from another machine's to a standard error."""
    numbers = {"x": float(x), "value": float(value), "value_se": float(error), "predicted": float(predicted)}
    numbers |= {"bias": float(bias), "left": float(left), "left_se": float(error) if part == "trained" else 0.0}
    return {"part": part, "case": case, "name": name} | numbers


def _exact(part: str, case: str, name: str, x: float, value: float):
    return _row(part, case, name, x, value, 0.0, value, 0.0, 0.0)


def _arrays(bandit: Problem) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(bandit.reward), np.asarray(bandit.log_reference)


def _limits(config: Config) -> Iterator[dict]:
    """The policies in the limit (drawn), their E_pi R, and the least coefficient of the losses without a limit."""
    for case, peak in PEAKS.items():
        reward, log_reference = _arrays(problem(peak))
        for name in laws.FIXED:
            policy = np.exp(laws.minimiser(name, reward, log_reference, config.numbers))
            yield _exact("value", case, name, 0.0, float(policy @ reward))
            if case == "R1":
                for action, mass in enumerate(policy):
                    yield _exact("law", case, name, action, mass)
        probs = np.exp(log_reference)
        for name in ENDLESS:
            wanted = laws.coefficients(name, reward, probs, config.numbers)
            yield _exact("least", case, name, int(np.argmin(wanted)), wanted.min())
    _, log_reference = _arrays(problem())
    for action, mass in enumerate(np.exp(log_reference)):
        yield _exact("law", "R1", "reference", action, mass)


def _growths(config: Config, shards: Shards) -> Iterator[dict]:
    """Growth of E_pi R per unit of a descent step: means over batches, and the closed form."""
    numbers = config.numbers._replace(num_samples=config.batches[2])
    bandits = [_arrays(problem(PEAKS[reward])) for reward, _ in LANES.values()]
    log_reference = bandits[0][1]
    uniform = np.full_like(log_reference, -np.log(len(log_reference)))
    policies = np.stack([log_reference if kind == "reference" else uniform for _, kind in LANES.values()])
    rewards = np.stack([reward for reward, _ in bandits])
    settings = {name: value for name, value in numbers._asdict().items() if name != "num_samples"}
    compute = partial(runs.growths, rewards, log_reference, policies, settings, config.batches, config.seed)
    found = shards.get("growths", (0, config.batches[0]), compute)
    for name in (*runs.OFFLINE, *(f"{name} on-policy" for name in runs.ON_POLICY)):
        loss, on_policy = name.removesuffix(" on-policy"), name.endswith(" on-policy")
        for lane, (case, (_, kind)) in enumerate(LANES.items()):
            if on_policy and kind == "reference":
                continue  # the same draws as offline
            probs = np.exp(policies[lane] if on_policy else log_reference)
            step = laws.direction(loss, rewards[lane], probs, policies[lane], log_reference, numbers)
            policy = np.exp(policies[lane])
            predicted = step @ (policy * (rewards[lane] - policy @ rewards[lane]))
            values = found[name][lane]
            # A mean over the pairs kept is a ratio: its bias is at most the deviations' product, over their means.
            ties = float((probs * laws.ranks(rewards[lane], probs)[1]).sum()) if loss in ("pref_ft", "ipo") else 0.0
            error = values.std(ddof=1) / np.sqrt(len(values))
            bias = np.sqrt(len(values) * ties / (1 - ties) / config.batches[1])
            yield _row("growth", case, name, len(values), values.mean(), error, predicted, bias, 0.0)


def _trained(config: Config, name: str, shards: Shards) -> tuple[dict, int]:
    """E_pi R that training ends with, mean over data sets, against the limit and its deviation."""
    samples = config.train_numbers.num_samples if name == "best_of_n" else 2
    numbers = config.train_numbers._replace(num_samples=samples)
    bandit = problem(config.train_peak, config.train_width, num_actions=config.train_actions)
    reward, log_reference = _arrays(bandit)
    settings = {key: value for key, value in numbers._asdict().items() if key != "num_samples"}
    settings["learning_rate"] = config.learning_rate
    sizes = {"num_states": config.train_states, "num_samples": samples}
    sizes |= {"num_steps": config.train_steps, "num_seeds": config.train_seeds}
    compute = partial(runs.trained, name, bandit, settings, **sizes)
    found = shards.get(f"trained-{name}", (0, config.train_seeds), compute)
    observations = config.train_states * (samples if name == "rwr" else 1)
    deviation, bias = laws.reward_error(name, reward, log_reference, numbers, observations)
    predicted = float(np.exp(laws.minimiser(name, reward, log_reference, numbers)) @ reward)
    ended = found["reward"][:, -1]
    # A 1/t approach has twice as far to go as the last third of the steps went.
    left = 2 * np.abs(ended - found["reward"][:, 0]).max()
    error = deviation / np.sqrt(config.train_seeds)
    # Two estimates are unbiased, and say so to rounding.
    numbers = (ended.mean(), error, predicted, round(2 * abs(bias) / error, 9), left)
    return _row("trained", "20 actions", name, observations, *numbers), int(found["failed"])


def check(table: Table) -> list[Check]:
    """Best-of-10 as published; growths and trained limits against closed forms; the losses without a limit."""
    checks = []
    for case, value in BEST_OF_TEN.items():
        row = table.where(part="value", case=case, name="best_of_n")
        claim = f"{case}: E R of the law of the best of ten draws"
        checks.append(identity(claim, value, row["value"][0], atol=5e-5, why="four digits are published"))
    for part, what, why in (
        ("growth", "growth of E R in a descent step", "a ratio's bias, by the deviations of its two means"),
        ("trained", "E R after training", "twice the bias to order 1/n, and what a 1/t approach has left"),
    ):
        rows = table.where(part=part)
        for place, name in enumerate(rows["name"].tolist()):
            numbers = (rows[column][place] for column in ("predicted", "value", "value_se"))
            allowance = rows["bias"][place] * rows["value_se"][place] + rows["left"][place]
            claim = f"{name}, {rows['case'][place]}: {what}"
            checks.append(interval(claim, *numbers, allowance=allowance, why=why if allowance else ""))
    checks.append(upper("runs that were not finite", 0.0, table.where(part="failed")["value"].sum()))
    for name in ENDLESS:
        row = table.where(part="least", name=name)
        claim = f"{name}: largest (over the rewards) of the least coefficients is negative, so that no minimum exists"
        checks.append(upper(claim, 0.0, row["value"].max()))
    return checks


def plot(table: Table) -> "Figure":
    """The limits over the actions; their rewards; samples over closed forms."""
    made, axes = plotting.figure(3, 1, height=7.0, gridspec_kw={"height_ratios": [1, 0.9, 1.5]})
    _draw_laws(axes[0], table)
    _draw_values(axes[1], table)
    _draw_ratios(axes[2], table)
    plotting.legend(made)
    growth, trained = (table.where(part=part) for part in ("growth", "trained"))
    plotting.caption(
        made,
        "a, b: limits of a tabular policy on 100 actions: best of 10 draws, beta = 0.25 (RWR, AWR, DPO), DPO's labels "
        "at temperature 0.2, IPO's target 1. Offline REINFORCE and Best-of-N (BoN) less the rest, or less the worst, "
        f"have no limit. c: growth of E R in a descent step, {growth['x'][0]:.0f} batches of 1024 states with 4 draws "
        "(circles: R1 at the reference, squares: R2 at the uniform policy; own: draws of the policy), and E R after "
        f"Adam on all of a data set (triangles: 20 actions, 4 data sets of {trained['x'].min():.0f} states), over the "
        "closed form; bars: what the checks allow.",
    )
    return made


def _draw_laws(ax: "Axes", table: Table) -> None:
    for name in ("reference", *laws.FIXED):
        rows = table.where(part="law", name=name)
        key = LOOKS.get(name, "reference")
        ax.plot(rows["x"], rows["value"], color=plotting.COLORS[key], label=NAMES.get(name, "reference"), linewidth=1.1)
    ax.set(xlabel="action", ylabel="mass", yscale="log", ylim=(3e-4, 0.3), xlim=(0, 99))
    ax.set_title("a  limits on $R_1$ (peak 70)")


def _draw_values(ax: "Axes", table: Table) -> None:
    for place, case in enumerate(PEAKS):
        for other, name in enumerate(laws.FIXED):
            value = table.where(part="value", case=case, name=name)["value"][0]
            ax.bar(place + (other - 2.5) * 0.14, value, width=0.13, color=plotting.COLORS[LOOKS[name]])
    ax.set(xticks=(0, 1), xticklabels=("$R_1$", "$R_2$"), ylabel=r"$E_\pi R$ in the limit", ylim=(0, 1))
    ax.set_title("b  what the limits earn")


def _draw_ratios(ax: "Axes", table: Table) -> None:
    order = list(NAMES)
    parts = [("growth", case, marker, shift) for case, marker, shift in zip(LANES, "os", (0.22, 0.0), strict=True)]
    for part, case, marker, shift in (*parts, ("trained", "20 actions", "^", -0.22)):
        rows = table.where(part=part, case=case)
        for place, name in enumerate(rows["name"].tolist()):
            key = LOOKS.get(name, "reference")
            scale = abs(rows["predicted"][place])
            ratio = rows["value"][place] / rows["predicted"][place]
            bar = ((4 + rows["bias"][place]) * rows["value_se"][place] + rows["left"][place]) / scale
            ax.errorbar(
                ratio,
                -order.index(name) + shift,
                xerr=bar,
                fmt=marker,
                color=plotting.COLORS[key],
                ms=3,
                elinewidth=0.8,
            )
    ax.axvline(1.0, color="#000000", linewidth=0.9, linestyle=(0, (4, 2)), gid="theory")
    ax.set(yticks=-np.arange(len(order)), yticklabels=[NAMES[name] for name in order])
    ax.set(xlabel="samples / closed form", xlim=(0.955, 1.045))
    ax.set_title("c  samples agree")


EXPERIMENT = Experiment(
    name="population_losses",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(batches=(32, 256, 4), trained=("rwr",), train_states=1000, train_steps=120),
        "default": Config(),
        "paper": Config(batches=(4096, 1024, 4), train_states=100_000, train_seeds=16, train_steps=600),
    },
    run=run,
    check=check,
    plot=plot,
)
