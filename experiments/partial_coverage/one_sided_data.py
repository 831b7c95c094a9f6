"""Labels that all go one way: DPO collapses without stop, RLHF stops, HyPO does either, by a computed penalty."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import one_sided, trajectories
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, interval, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage import one_sided_flow as flow
from experiments.partial_coverage.one_sided_view import CRITICAL, CURVE, DPO, HYPO, LINE, RLHF, plot

CLAIM = (
    "On one-sided labels DPO's log-ratios grow like log(t)/beta without end, its KL to pi_ref towards its maximum; a "
    "bounded reward holds RLHF; HyPO is held if beta >= 1 or lambda exceeds a computed value, and else escapes too."
)
# The grid of lambda: independent of what is predicted, and wide enough for every critical value.
_LOWEST, _HIGHEST = 0.06, 0.75
# Where descent has forgotten that its first steps were long.
_SETTLED = 100


@dataclass(frozen=True)
class Config:
    """Training runs (method, actions, beta, lambda, bound on |r|), and the grid of lambda for the critical values.

    Betas nearer to 1 are left out of the grid: HyPO's path then turns at D = 10 or more, which the steps do not reach.
    A step size below 1/2 keeps eta |f'| below 1/2 for every setting.
    """

    curves: tuple[tuple[str, int, float, float, float], ...] = (
        (DPO, 2, 0.5, 0.0, 0.0),
        (HYPO, 2, 0.5, 0.60, 0.0),
        (HYPO, 2, 0.5, 0.66, 0.0),
        (HYPO, 2, 1.0, 0.20, 0.0),
        (HYPO, 2, 1.5, 0.10, 0.0),
        (DPO, 5, 0.5, 0.0, 0.0),
        (HYPO, 5, 0.5, 0.20, 0.0),
        (HYPO, 5, 0.5, 0.24, 0.0),
        (RLHF, 2, 0.5, 0.0, 1.0),
    )
    betas: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7)
    ratio: float = 1.03
    num_steps: int = 30_000
    step_size: float = 0.5
    num_records: int = 46


def run(config: Config, shards: Shards) -> Table:
    """Rows of training curves, of brackets of the critical penalty, and of its computed line over beta."""
    actions = sorted({curve[1] for curve in config.curves})
    shards.expect(len(actions))
    rows: list[dict[str, Any]] = []
    failures = {"runs not finite": 0, "curves short of a stationary point": 0}
    for num_actions in actions:
        data = shards.get(f"actions={num_actions}", (0, 1), partial(train, config, num_actions))
        for place, curve in enumerate(_curves(config, num_actions)):
            rows += _curve_rows(
                config, curve, {name: data[name][place] for name in ("gap", "kl", "end")}, data["steps"]
            )
        failures["curves short of a stationary point"] += int((data["end"] == bl.Status.max_steps).sum())
        statuses = np.concatenate([data["end"], data["grid"].ravel()])
        failures["runs not finite"] += int((statuses == bl.Status.nonfinite).sum())
        rows += _critical_rows(config, num_actions, data["grid"])
        for beta in np.linspace(0.05, 0.99, 48):
            critical = one_sided.critical_penalty(beta, -math.log(num_actions - 1))
            rows.append(_row(kind=LINE, actions=num_actions, beta=float(beta), predicted=critical))
    return Table.from_rows(rows, meta={"failures": failures})


def train(config: Config, num_actions: int) -> dict[str, np.ndarray]:
    """Gap and KL (curves, R) at `steps`, the status at their ends, and that of the grid's runs (betas, lambdas)."""
    env = bl.instances.tabular(np.eye(num_actions)[:1])
    wins = np.zeros((1, num_actions, num_actions))
    wins[0, 0, 1:] = 1.0
    curves = _curves(config, num_actions)
    labelled = [curve for curve in curves if curve[0] != RLHF]
    beta, penalty = (values.ravel() for values in np.meshgrid(config.betas, penalties(config), indexing="ij"))
    beta = np.concatenate([[curve[2] for curve in labelled], beta])
    penalty = np.concatenate([[curve[3] for curve in labelled], penalty])
    steps = np.unique(np.round(np.geomspace(1, config.num_steps, config.num_records)).astype(int))
    settings: dict[str, Any] = {"record_at": steps, "step_size": config.step_size, "metrics": ()}
    many = np.broadcast_to(wins, (len(beta), *wins.shape))
    runs = [trajectories.paths(env, many, penalty=penalty, beta=beta, **settings)]
    grid = runs[0]["status"][len(labelled) :].reshape(len(config.betas), -1)
    for _, _, temperature, _, bound in curves[len(labelled) :]:
        # KL(pi||pi_ref) - E_pi r/beta is, but for a constant, the KL to the reference tilted by the reward.
        tilted = jax.nn.log_softmax(env.log_reference + bounded_reward(env, wins, bound) / temperature)
        runs.append(trajectories.paths(env.replace(log_reference=tilted), 0 * wins[None], penalty=1.0, **settings))
    log_policy = np.concatenate([found["log_policy"][: len(labelled)] for found in runs])
    divergence = jax.jit(jax.vmap(jax.vmap(partial(bl.metrics.kl_reference, env))))(jnp.asarray(log_policy))
    return {
        "steps": steps,
        "gap": log_policy[:, :, 0, 0] - log_policy[:, :, 0, 1:].mean(axis=2),
        "kl": np.asarray(divergence),
        "end": np.concatenate([found["status"][: len(labelled)] for found in runs]),
        "grid": grid,
    }


def bounded_reward(env: bl.Environment, wins: np.ndarray, bound: float) -> jax.Array:
    """(1, A) the likelihood's maximum over centred rewards in the ball that holds all with |r| <= bound, at beta = 1.

    By symmetry the losers share one reward, so that it is the maximum over rewards with gaps of at most 2 bound.
    """
    radius = 2 * bound * math.sqrt(1 - 1 / env.num_actions)
    fitted = jax.jit(bl.estimators.fit)(env, jnp.asarray(wins), max_norm=radius)
    return jnp.einsum("xad,d->xa", env.features, fitted.params)


def penalties(config: Config) -> np.ndarray:
    """The grid of lambda: a fixed ratio apart."""
    count = math.ceil(math.log(_HIGHEST / _LOWEST) / math.log(config.ratio))
    return _LOWEST * config.ratio ** np.arange(count + 1)


def _curves(config: Config, num_actions: int) -> list[tuple[str, int, float, float, float]]:
    """The curves with this number of actions; those on a reward come last."""
    return sorted((curve for curve in config.curves if curve[1] == num_actions), key=lambda curve: curve[0] == RLHF)


def _curve_rows(config: Config, curve, measured: dict[str, np.ndarray], steps: np.ndarray) -> list[dict[str, Any]]:
    method, num_actions, beta, penalty, bound = curve
    numbers = (num_actions, beta, penalty, 2 * bound)
    gaps = flow.gaps(config.step_size * steps, *numbers)
    allowances = flow.euler_remainder(gaps, config.step_size, *numbers)
    stop = 2 * bound / beta  # the policy pi_ref e^{r/beta} of the reward at its bound
    if method != RLHF:
        stop = one_sided.stationary_gap(penalty, beta, -math.log(num_actions - 1))
    shared = {"kind": CURVE, "method": method, "actions": num_actions, "beta": beta, "penalty": penalty}
    shared |= {"failed": int(measured["end"] == bl.Status.nonfinite)}
    shared |= {"bound": bound, "end": int(measured["end"]), "predicted": stop, "name": _name(curve)}
    columns = {"step": steps, "gap": measured["gap"], "kl": measured["kl"], "flow": gaps, "allowance": allowances}
    columns |= {"flow_kl": flow.kl(gaps, num_actions)}
    return [_row(**shared, **{name: float(v[i]) for name, v in columns.items()}) for i in range(len(steps))]


def _critical_rows(config: Config, num_actions: int, grid: np.ndarray) -> list[dict[str, Any]]:
    """For every beta the largest lambda whose run did not stop, and the next one."""
    rows, tried = [], penalties(config)
    for beta, ends in zip(config.betas, grid, strict=True):
        stopped = ends == bl.Status.converged
        first = int(np.argmax(stopped))
        changes = int((stopped[1:] != stopped[:-1]).sum())
        row = {"kind": CRITICAL, "method": HYPO, "actions": num_actions, "beta": beta, "end": changes}
        row |= {"failed": int((ends == bl.Status.nonfinite).sum())}
        row |= {"low": float(tried[first - 1]), "high": float(tried[first])}
        rows.append(_row(**row, predicted=one_sided.critical_penalty(beta, -math.log(num_actions - 1))))
    return rows


def _name(curve) -> str:
    method, num_actions, beta, penalty, bound = curve
    tail = {DPO: "", HYPO: f", lambda={penalty:g}", RLHF: f", |r|<={bound:g}"}[method]
    return f"{method}, A={num_actions}, beta={beta:g}{tail}"


def _row(**given: Any) -> dict[str, Any]:
    texts = ("kind", "method", "name")
    curve = ("beta", "penalty", "bound", "step", "gap", "flow", "allowance", "kl", "flow_kl")
    empty = dict.fromkeys(texts, "") | dict.fromkeys(
        ("actions", "end", "failed", *curve, "low", "high", "predicted"), 0.0
    )
    return empty | {name: value if name in texts else float(value) for name, value in given.items()}


def check(table: Table) -> list[Check]:
    """Every curve against its flow, in the worst place; growth without end; plateaus; the critical lambdas."""
    curves, checks = table.where(kind=CURVE), []
    for name in dict.fromkeys(curves["name"].tolist()):
        rows = curves.where(name=name)
        checks += _curve_checks(name, Table({k: v[rows["step"] >= _SETTLED] for k, v in rows.columns.items()}))
    brackets = table.where(kind=CRITICAL)
    for i in range(len(brackets)):
        low, high, predicted = (brackets[name][i] for name in ("low", "high", "predicted"))
        setting = f"A={brackets['actions'][i]:g}, beta={brackets['beta'][i]:g}"
        claim = f"critical lambda, {setting}: between the largest that escapes and the smallest that stops"
        why = "half the distance between the two penalties tried"
        checks.append(interval(claim, predicted, (low + high) / 2, 0.0, allowance=(high - low) / 2, why=why))
    claim = "penalties tried, in order: changes between escaping and stopping, beyond the one predicted, most over beta"
    return [*checks, upper(claim, 0.0, brackets["end"].max() - 1)]


def _curve_checks(name: str, rows: Table) -> list[Check]:
    distance = np.abs(rows["gap"] - rows["flow"]) / rows["allowance"]
    worst = int(np.argmax(distance))
    numbers = (rows["flow"][worst], rows["gap"][worst], 0.0)
    why = "half a step of Euler's method per e-fold of the speed, doubled"
    claim = f"{name}: log-ratio gap after {rows['step'][worst]:.0f} steps (the worst of {len(rows)}) = gradient flow's"
    checks = [interval(claim, *numbers, allowance=rows["allowance"][worst], why=why)]
    gap, stop = rows["gap"][-1], rows["predicted"][-1]
    if np.isfinite(stop):
        allowance = _stopping_error(stop, *(float(rows[name][-1]) for name in ("actions", "beta", "penalty", "bound")))
        why = "a stopped run's gradient, at most 1e-8, over its slope, doubled for the curvature; and rounding"
        checks.append(interval(f"{name}: gap where training stops", stop, gap, 0.0, allowance=allowance, why=why))
        return [*checks, upper(f"{name}: status at the end is converged", 0.0, rows["end"][-1])]
    decade = int(np.argmin(np.abs(rows["step"] - rows["step"][-1] / 10)))
    factor = f"{rows['step'][-1] / rows['step'][decade]:.3g}"
    allowance, why = rows["allowance"][-1] + rows["allowance"][decade], "Euler's remainder at both ends"
    gained = rows["flow"][-1] - rows["flow"][decade]
    claim = f"{name}: gap gained in the last factor {factor} of steps = gradient flow's"
    if rows["method"][0] == DPO:
        asymptote = math.log(rows["step"][-1] / rows["step"][decade]) / rows["beta"][-1]
        allowance, gained = allowance + abs(gained - asymptote), asymptote
        why += ", and the flow's own distance from its asymptote"
        claim = f"{name}: gap gained in the last factor {factor} of steps = log({factor})/beta"
    checks.append(interval(claim, gained, gap - rows["gap"][decade], 0.0, allowance=allowance, why=why))
    cap = math.log(rows["actions"][-1])
    claim = f"{name}: KL to pi_ref at the end = its maximum log A"
    why = "what the flow leaves of it, twice"
    return [*checks, interval(claim, cap, rows["kl"][-1], 0.0, allowance=2 * (cap - rows["flow_kl"][-1]), why=why)]


def _stopping_error(stop: float, num_actions: float, beta: float, penalty: float, bound: float) -> float:
    """How far from its stationary gap a run may be whose gradient in the logits has norm 1e-8.

    dD/dt = sqrt(A/(A-1)) times that norm, along the symmetric direction.
    """
    ends = flow.speed(stop + np.array([-1e-4, 1e-4]), round(num_actions), beta, penalty, 2 * bound)
    slope = abs(ends[1] - ends[0]) / 2e-4
    return float(2 * math.sqrt(num_actions / (num_actions - 1)) * 1e-8 / slope + 1e-12 * stop)


EXPERIMENT = Experiment(
    name="one_sided_data",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(curves=Config.curves[:3], betas=(0.3, 0.5), num_steps=10_000, num_records=20),
        "default": Config(),
        "paper": Config(ratio=1.01, num_steps=300_000),
    },
    run=run,
    check=check,
    plot=plot,
)
