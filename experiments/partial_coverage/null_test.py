"""The null test: with one unbounded tabular class, RLHF and DPO are the same on seen actions; a bound parts them."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.algorithms.rlhf import rlhf
from banditlab.estimators.descent import descend
from banditlab.store import Shards, Table
from experiments.framework import statistics
from experiments.framework.checks import Check, identity, upper
from experiments.framework.experiment import Experiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLAIM = (
    "With one unbounded tabular class RLHF and DPO give the same policy on the seen actions, whatever the data set; a "
    "bound B on the reward parts them exactly where the fitted rewards span more than 2B."
)
NEWTON, DESCENT, BOUNDED = "DPO by Newton", "DPO by gradient descent", "bounded RLHF"
# Log-ratios count as parted above this. The barrier of the bounded fit moves a reward near its bound by up to
# sqrt(mu/curvature), some 1e-5; where the bound binds the log-ratios part by (span - 2B)/beta at least.
_PARTED = 1e-3


@dataclass(frozen=True)
class Config:
    """Random bandits, one data set each; the actions seen, the labels; the bounds; the steps of gradient descent.

    Rewards are normal, references Dirichlet. pi_0 is pi_ref on the seen actions: the others are never compared.
    """

    num_data: int = 512
    num_actions: int = 6
    num_seen: int = 4
    num_labels: int = 400
    spread: float = 1.2
    concentration: float = 6.0
    beta: float = 0.5
    bounds: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
    steps: tuple[int, ...] = (0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per bound, and per number of steps; one of Newton. Differences are of log-ratios on seen actions."""
    shards.expect(1)
    data = shards.get("fits", (0, config.num_data), partial(simulate, config))
    # Without a chain of wins from every seen action to every other there is no maximum, and nothing to compare.
    exists = strongly_connected(data["wins"][:, : config.num_seen, : config.num_seen])
    failures = {"data sets without a maximum of the likelihood": int((~exists).sum())}
    data = {name: values[exists] for name, values in data.items()}
    failures["fits not converged"] = int((data["status"] != 0).sum())
    failures["labels that differ between the two"] = int((data["wins"] != data["rlhf_wins"]).sum())
    common = {
        "data_sets": int(exists.sum()),
        "missing": int((~exists).sum()),
        "beta": config.beta,
        "labels": config.num_labels,
    }
    span = np.ptp(data["reward"][:, : config.num_seen], axis=1)
    ratios = _log_ratio_span(config, data["dpo"], data) / _log_ratio_span(config, data["rlhf"], data)
    ratio = {"ratio": float(ratios[np.abs(ratios - 1).argmax()]), "span": float(span.min())}
    rows = [_row(NEWTON, 0.0, _distance(config, data["dpo"], data["rlhf"]), common | ratio)]
    everywhere = config.num_actions
    for place, steps in enumerate(config.steps):
        # Where descent starts at pi_ref and the reward is the shortest, they agree on the unseen actions too.
        distance = _distance(config, data["descent"][:, place], data["rlhf"], everywhere)
        remainder = descent_remainder(config, data["wins"], data["reward"], data["norm"][:, place])
        excess = {"excess": float((distance - remainder).max()), "remainder": float(remainder.max())}
        rows.append(_row(DESCENT, steps, distance, common | excess))
    for place, bound in enumerate(config.bounds):
        distance = _distance(config, data["bounded"][:, place], data["rlhf"])
        least = np.maximum(span - 2 * bound, 0.0) / config.beta
        ball = data["kl"][:, place] * config.beta / (2 * bound)
        measured = {"excess": float((least - distance).max()), "ball": float(ball.max())}
        parted = {"parted": float((distance > _PARTED).mean()), "expected": float((least > _PARTED).mean())}
        rows.append(_row(BOUNDED, bound, distance, common | measured | parted | {"least": float(np.median(least))}))
    return Table.from_rows(rows, meta={"failures": failures})


def _row(kind: str, setting: float, distance: np.ndarray, columns: dict[str, float]) -> dict[str, float | str]:
    empty = dict.fromkeys(("excess", "remainder", "ball", "parted", "expected", "least", "span", "ratio"), 0.0)
    row = {"kind": kind, "setting": float(setting), "worst": float(distance.max())}
    return row | statistics.quantiles("distance", distance) | empty | columns


def _distance(config: Config, policy: np.ndarray, other: np.ndarray, among: int | None = None) -> np.ndarray:
    """(N,) largest difference of log pi(i)/pi(j) between policies (N, A), over pairs of the first `among` actions."""
    gap = (policy - other)[:, : among or config.num_seen]
    return np.ptp(gap, axis=1)


def _log_ratio_span(config: Config, policy: np.ndarray, data: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) span of log pi/pi_ref over the seen actions."""
    return np.ptp((policy - data["reference"])[:, : config.num_seen], axis=1)


def strongly_connected(wins: np.ndarray) -> np.ndarray:
    """(N,) whether a chain of wins leads from every action to every other (Ford): then, and only then, W (N, A, A)
    has a finite maximum-likelihood reward, unique up to a shift."""
    reach = (wins > 0) | np.eye(wins.shape[1], dtype=bool)
    for _ in range(wins.shape[1]):
        reach = np.einsum("nij,njk->nik", reach.astype(float), reach.astype(float)) > 0
    return np.asarray(reach.all(axis=(1, 2)))


def descent_remainder(config: Config, wins: np.ndarray, reward: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """(N,) how far descent can still be from the optimum, in log-ratios: 2 sqrt(2) |g| / lambda.

    lambda is the least curvature of the mean loss at the optimum along differences of seen actions: near it |g| >=
    lambda |theta - theta_hat| up to a factor that the 2 covers, and a pair's log-ratio moves by at most sqrt(2) of
    that distance.
    """
    seen = config.num_seen
    counts = (wins + wins.swapaxes(1, 2))[:, :seen, :seen] * (1 - np.eye(seen))
    gaps = reward[:, :seen, None] - reward[:, None, :seen]
    weights = counts * 0.25 / np.cosh(gaps / 2) ** 2 / wins.sum(axis=(1, 2), keepdims=True)
    laplacian = weights.sum(2)[:, :, None] * np.eye(seen) - weights
    curvature = config.beta**2 * np.linalg.eigvalsh(laplacian)[:, 1]
    return 2 * np.sqrt(2) * norm / curvature


def simulate(config: Config) -> dict[str, np.ndarray]:
    """Data sets and log-policies (N, ..., A): of DPO, of plain and bounded RLHF, of gradient descent."""
    rng = np.random.default_rng(config.seed)
    shape = (config.num_data, 1, config.num_actions)
    rewards = config.spread * rng.standard_normal(shape)
    references = np.log(rng.dirichlet(np.full(config.num_actions, config.concentration), shape[:2]))
    seen = np.arange(config.num_actions) < config.num_seen
    template = bl.instances.tabular(rewards[0], references[0], beta=config.beta)
    template = template.replace(initial_params=np.zeros(config.num_actions))
    dpo, plain = bl.algorithms.offline_dpo(config.num_labels), rlhf(config.num_labels)
    bounded = rlhf(config.num_labels, 1.0)
    arrays = [jnp.asarray(values) for values in (rewards, references, seen, config.bounds)]
    keys = jax.random.split(jax.random.key(config.seed), config.num_data)
    found = _fits(template, dpo, plain, bounded, keys, *arrays, jnp.asarray(config.steps))
    return {name: np.asarray(values) for name, values in found.items()}


@jax.jit
def _fits(template, dpo, plain, bounded, keys, rewards, references, seen, bounds, steps):
    def one(key, reward, log_reference):
        env = template.replace(
            reward=reward, log_reference=log_reference, initial_params=jnp.where(seen, log_reference[0], -800.0)
        )
        # The same key: the same labels.
        first, bought = dpo.step(key, dpo.init(key, env), env)
        second, fitted = plain.step(key, plain.init(key, env), env)

        def under(bound):
            algorithm = dataclasses.replace(bounded, settings=bounded.settings | {"reward_bound": bound})
            state, info = algorithm.step(key, algorithm.init(key, env), env)
            return state.log_policy[0], bl.metrics.kl_reference(env, state.log_policy), info.status

        policies, kl, statuses = jax.vmap(under)(bounds)
        # L = beta^2/2 bounds the curvature of the mean loss: twice the largest share of labels an action can have,
        # times the largest sigma' = 1/4.
        path = descend(
            key, env, first.wins, log_reference[0], record_at=steps, step_size=2.0 / env.beta**2, penalty=0.0
        )
        return {
            "wins": first.wins[0],
            "reference": log_reference[0],
            "rlhf_wins": second.wins[0],
            "reward": second.reward[0],
            "dpo": first.log_policy[0],
            "rlhf": second.log_policy[0],
            "bounded": policies,
            "kl": kl,
            "descent": path.params,
            "norm": path.gradient_norm,
            "status": jnp.concatenate([jnp.stack([bought.status, fitted.status]), statuses]),
        }

    return jax.lax.map(lambda args: one(*args), (keys, rewards, references), batch_size=256)


def check(table: Table) -> list[Check]:
    """The two agree to what the optimisers leave; a bound parts them where, and at least as far as, it must."""
    newton = table.where(kind=NEWTON)
    why = "Newton stops at a change of margin of 1e-5 in each fit; the error is of its square, over beta"
    claim = f"seen actions, worst of {newton['data_sets'][0]} data sets: DPO by Newton and RLHF, log-ratios apart"
    checks = [upper(claim, 0.0, newton["worst"][0], allowance=4e-10 / newton["beta"][0], why=why)]
    checks.append(
        identity(
            "span of log pi/pi_ref on the seen actions, DPO by Newton over RLHF, farthest from 1",
            1.0,
            newton["ratio"][0],
            why=f"{why}; the smallest span is {newton['span'][0]:.2g} in rewards",
            rtol=4e-10 / newton["span"][0],
        )
    )
    descent = table.where(kind=DESCENT)
    end = descent["setting"].argmax()
    why = f"rounding; what {descent['setting'][end]:.0f} steps leave, from the gradient there, is subtracted"
    claim = "all actions: DPO by gradient descent and RLHF, log-ratios apart beyond the remainder of descent"
    checks.append(upper(claim, 0.0, descent["excess"][end], allowance=1e-9, why=why))
    claim = "the largest remainder of descent after all steps"
    checks.append(upper(claim, 0.0, descent["remainder"][end], allowance=1e-3, why="what the last check can see"))
    bounded = table.where(kind=BOUNDED)
    for row in range(len(bounded)):
        claim = f"share of data sets that the bound {bounded['setting'][row]:g} parts: those with span > 2B"
        checks.append(identity(claim, bounded["expected"][row], bounded["parted"][row], why="no tolerance"))
    why = "the fit's suboptimality of 1e-9, in rewards, over beta"
    claim = "bounded: how far a log-ratio falls short of (span - 2B)/beta, at most"
    checks.append(upper(claim, 0.0, bounded["excess"].max(), allowance=1e-6, why=why))
    claim = "bounded: KL(pi||pi_ref) over 2B/beta, at most"
    checks.append(upper(claim, 1.0, bounded["ball"].max(), why="pi ∝ pi_ref e^{r/beta} has KL <= span(r)/beta"))
    return checks


def plot(table: Table) -> "Figure":
    """Above, descent towards RLHF; below, how far a bound moves RLHF from DPO."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.4)
    rows = table.where(kind=DESCENT)
    later = rows["setting"] > 0
    quantiles = np.stack([rows[f"distance_{level}"][later] for level in statistics.BAND])
    plotting.band(top, rows["setting"][later], quantiles, "dpo", label="DPO by gradient descent")
    newton = table.where(kind=NEWTON)
    top.axhline(newton["worst"][0], color=plotting.COLORS["dpo"], linewidth=0.8, linestyle=":")
    beside = {"textcoords": "offset points", "xytext": (0, 3), "fontsize": 7}
    top.annotate("Newton, worst data set", (rows["setting"][1], newton["worst"][0]), **beside)
    top.set(xscale="log", yscale="log", xlabel="gradient steps", ylabel="largest log-ratio\nbetween DPO and RLHF")
    top.set_title("one unbounded class")
    bounded = table.where(kind=BOUNDED)
    quantiles = np.stack([bounded[f"distance_{level}"] for level in statistics.BAND])
    plotting.band(bottom, bounded["setting"], quantiles, "rlhf", label="RLHF, |reward| at most B")
    plotting.theory(bottom, bounded["setting"], bounded["least"], "rlhf", label=r"at least (span $-$ 2B)/$\beta$")
    bottom.set(xlabel="bound B on the reward", ylabel="largest log-ratio\nbetween DPO and RLHF")
    bottom.set_title("bounded reward")
    plotting.legend(made)
    plotting.caption(
        made,
        f"{newton['data_sets'][0]} random tabular bandits, 4 of 6 actions seen, {newton['labels'][0]} labels each, "
        f"beta {newton['beta'][0]:g}; median and 10-90% band. Upper panel over all actions (descent from pi_ref, "
        "reward of least norm); lower over the seen ones. Data sets without a maximum of the likelihood, left out: "
        f"{newton['missing'][0]}.",
    )
    return made


EXPERIMENT = Experiment(
    name="null_test",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_data=16, bounds=(0.5, 2.0), steps=(0, 40, 640)),
        "default": Config(),
        "paper": Config(num_data=8192),
    },
    run=run,
    check=check,
    plot=plot,
)
