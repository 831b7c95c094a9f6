"""Who wins on an action without labels: the true reward swept past the values that DPO, HyPO and RLHF impute to it."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.optimize import minimize_scalar
from scipy.special import expit

import banditlab as bl
from banditlab import gradient_limits, plotting, scenarios
from banditlab.estimators import bounded
from banditlab.estimators.descent import descend
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, interval, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage.shared import label_curvature

CLAIM = (
    "Whether HyPO beats DPO is decided by the unseen action's reward, which neither observes: each is best where its "
    "own imputed value is the truth, and their gaps cross at a computable reward, on which either side may be HyPO's."
)
DPO, HYPO, RLHF = "dpo", "hypo", "rlhf"
EVEN, LOSER = "even reference", "loser-heavy reference"
# Measured on trained policies; the closed forms themselves, on a fine grid.
TRAINED, CURVE = "trained", "curve"
_LANE = ("instance", "learner", "penalty")
_DOUBLED = "what doubling lambda changes, before the extrapolation removes it"


@dataclass(frozen=True)
class Config:
    """The sweep of the unseen reward; HyPO's penalty (and its double, to extrapolate); RLHF's bound; descent steps."""

    lowest: float = -3.0
    highest: float = 3.0
    num_points: int = 13
    num_curve: int = 121
    penalty: float = 0.001
    reward_bound: float = 1.1
    num_steps: int = 120_000


def instances() -> dict[str, scenarios.Scenario]:
    """One context, four seen actions and one unseen of mass 0.1; the same number of everything, so one program."""
    reference = np.log([[0.225, 0.225, 0.225, 0.225, 0.1]])
    even = bl.instances.tabular([[0.0, 0.2, 0.4, 2.0, 0.0]], reference)
    seen = np.array([[True, True, True, True, False]])
    return {EVEN: scenarios.labelled(even, seen), LOSER: scenarios.loser_heavy_reference()}


def run(config: Config, shards: Shards) -> Table:
    """A row per instance, learner and true reward of the unseen action: trained policies, then the closed forms."""
    shards.expect(1)
    data = shards.get("all", (0, 1), partial(train, config))
    rows, failures = [], {}
    for place, (name, scenario) in enumerate(instances().items()):
        crossing = crossing_reward(scenario)
        for lane, (learner, penalty) in enumerate(_lanes(config)):
            failed = bool(data["failed"][place, lane])
            failures[f"{name}, {learner} {penalty:g}: not converged"] = int(failed)
            imputed = imputed_value(scenario, learner, config.reward_bound)
            shared = {"instance": name, "learner": learner, "penalty": penalty, "imputed": imputed}
            shared |= {"crossing": crossing, "failed": int(failed)}
            for reward in np.linspace(config.lowest, config.highest, config.num_points):
                predicted = imputation_gap(scenario, imputed, reward)
                row = shared | {"kind": TRAINED, "reward": reward, "predicted": predicted}
                rows.append(row | _measured(with_unseen_reward(scenario, reward), data, place, lane))
            for reward in np.linspace(config.lowest, config.highest, config.num_curve):
                predicted = imputation_gap(scenario, imputed, reward)
                row = shared | {"kind": CURVE, "reward": reward, "predicted": predicted}
                rows.append(row | {"gap": predicted, "allowed": 0.0, "doubled": 0.0})
    return Table.from_rows(rows, meta={"failures": failures})


def _measured(env: bl.Environment, data: dict[str, np.ndarray], place: int, lane: int) -> dict[str, float]:
    """The gap; how far the policy's own residual lets it be off; and a bound on what doubling HyPO's lambda changes.

    |d gap| <= beta (|log pi/pi*| + 1) |d log pi|, and half as much again for the second order.
    """
    log_policy = data["log_policy"][place]
    steepest = 1.5 * float(env.beta) * (np.abs(log_policy[lane] - np.asarray(env.log_target)).max() + 1)
    moved = np.abs(log_policy[2] - log_policy[1]).max() if lane in (1, 2) else 0.0
    gap = float(bl.metrics.gap(env, jnp.asarray(log_policy[lane])))
    return {"gap": gap, "allowed": steepest * float(data["error"][place, lane]) + 1e-14, "doubled": steepest * moved}


def _lanes(config: Config) -> list[tuple[str, float]]:
    return [(DPO, 0.0), (HYPO, config.penalty), (HYPO, 2 * config.penalty), (RLHF, 0.0)]


def train(config: Config) -> dict[str, np.ndarray]:
    """log_policy (instances, 4, S, A), the error that its own residual allows, and whether it failed to converge."""
    columns = {"log_policy": [], "error": [], "failed": []}
    penalties = jnp.asarray([0.0, config.penalty, 2 * config.penalty])
    for scenario in instances().values():
        env, wins = scenario.env, bl.preferences.outcome_law(scenario.env, scenario.pair_law)
        curvature = label_curvature.hessian(np.asarray(wins), np.asarray(env.reward))
        least = label_curvature.least_curvature(np.asarray(wins), np.asarray(env.reward))
        step = 1 / (float(env.beta) ** 2 * np.linalg.eigvalsh(curvature).max() + np.asarray(penalties) / 4)
        log_policy, norm = _descend(env, wins, penalties, jnp.asarray(step), jnp.asarray([config.num_steps]))
        reward = bounded.fit(env, wins, config.reward_bound)
        columns["log_policy"].append(np.concatenate([log_policy, _optimum(env, reward.reward)[None]]))
        # Descent: twice gradient over curvature, and twice again for log pi. Barrier: l |dr|^2/2 <= its excess; twice
        # for pi, twice for the centre, which follows an average of r.
        descent = 4 * np.asarray(norm) / (float(env.beta) ** 2 * least) + 1e-12
        barrier = 4 * np.sqrt(2 * float(reward.excess) / least) / float(env.beta)
        columns["error"].append(np.append(descent, barrier))
        columns["failed"].append(np.append(np.asarray(norm) > 1e-9, int(reward.status) != bl.Status.converged))
    return {name: np.stack(values) for name, values in columns.items()}


@jax.jit
def _descend(env, wins, penalties, step_sizes, record_at) -> tuple[Array, Array]:
    start = env.log_reference.reshape(-1)

    def one(penalty, step_size):
        found = descend(jax.random.key(0), env, wins, start, record_at=record_at, step_size=step_size, penalty=penalty)
        return env.log_policy(found.params[-1]), found.gradient_norm[-1]

    return jax.vmap(one)(penalties, step_sizes)


def _optimum(env: bl.Environment, reward: Array) -> np.ndarray:
    return np.asarray(jax.nn.log_softmax(env.log_reference + reward / env.beta, axis=-1))


def with_unseen_reward(scenario: scenarios.Scenario, reward: float) -> bl.Environment:
    """The environment with this true reward on the unseen action."""
    return scenario.env.replace(reward=np.where(scenario.seen, scenario.env.reward, reward))


def imputed_value(scenario: scenarios.Scenario, learner: str, bound: float) -> float:
    """The reward of the unseen action, on the scale of the true seen ones, for which the learner's policy is optimal.

    DPO's gradient flow: their plain mean. HyPO, lambda -> 0+: their mean under pi|S. RLHF with |r| <= bound and a
    log-barrier: 0, with the seen rewards shifted by the c that maximises sum log(bound^2 - (r_a + c)^2).
    """
    env, seen = scenario.env, np.asarray(scenario.seen)[0]
    reward, logs = np.asarray(env.reward)[0, seen], np.asarray(env.log_reference)[0, seen]
    if learner == DPO:
        return float(reward.mean())
    if learner == HYPO:
        weights = np.exp(logs + reward / float(env.beta))
        return float(weights @ reward / weights.sum())
    room = (-bound - reward.min(), bound - reward.max())
    options = {"xatol": 1e-12}
    centre = minimize_scalar(
        lambda c: -np.log(bound**2 - (reward + c) ** 2).sum(), bounds=room, method="bounded", options=options
    )
    return -float(centre.x)


def imputation_gap(scenario: scenarios.Scenario, imputed: float, reward: float) -> float:
    """beta kl(q||q*), the masses of the unseen action under the imputed value and under its true reward."""
    env, seen = scenario.env, np.asarray(scenario.seen)[0]
    beta, logs, table = float(env.beta), np.asarray(env.log_reference)[0], np.asarray(env.reward)[0]
    offset = float(np.logaddexp.reduce(logs[~seen]) - np.logaddexp.reduce(logs[seen] + table[seen] / beta))
    mine, true = imputed / beta + offset, reward / beta + offset
    # kl(q||q*) = A(l*) - A(l) - q (l* - l), A(l) = log(1 + e^l), for the logits l.
    return float(beta * (np.logaddexp(0.0, true) - np.logaddexp(0.0, mine) - expit(mine) * (true - mine)))


def crossing_reward(scenario: scenarios.Scenario) -> float:
    """The true reward at which DPO and HyPO with a vanishing penalty are equally bad."""
    values = [imputed_value(scenario, learner, np.inf) for learner in (DPO, HYPO)]
    return float(gradient_limits.equal_gap_reward(scenario.env, scenario.env.reward, scenario.seen, *values)[0])


def check(table: Table) -> list[Check]:
    """Every gap on its curve; the crossing; who wins on either side of it."""
    trained = table.where(kind=TRAINED)
    checks = [upper("policies that did not converge", 0.0, trained["failed"].max())]
    single = trained["penalty"][trained["penalty"] > 0].min()
    for name in dict.fromkeys(table["instance"].tolist()):
        here = trained.where(instance=name)
        for learner, says in ((DPO, "the plain mean of the seen"), (RLHF, "its barrier's centre")):
            rows = here.where(learner=learner)
            claim = f"{name}, {learner}, imputes {says}: gap at unseen reward"
            checks += _ends(claim, rows["reward"], rows["predicted"], rows["gap"], rows["allowed"])
        near, double = here.where(penalty=single), here.where(penalty=2 * single)
        claim = f"{name}, hypo, lambda -> 0, imputes the mean under pi|S: gap at unseen reward"
        extrapolated = 2 * near["gap"] - double["gap"]
        allowed = np.abs(double["gap"] - near["gap"]) + 3 * (near["allowed"] + double["allowed"])
        checks += _ends(claim, near["reward"], near["predicted"], extrapolated, allowed, near["doubled"] + allowed)
        checks += _crossing_checks(name, here.where(learner=DPO), near, double)
    return checks


def _ends(claim: str, reward, predicted, measured, allowed, along=None) -> list[Check]:
    """The gap at the ends of the sweep, and the worst place of the sweep in units of what is allowed `along` it."""
    why = "what the trained policy's own residual allows" if along is None else _DOUBLED
    along = allowed if along is None else along
    checks = [
        identity(f"{claim} {reward[end]:g}", predicted[end], measured[end], atol=float(allowed[end]), why=why)
        for end in (0, -1)
    ]
    worst = float((np.abs(measured - predicted) / along).max())
    return [*checks, upper(f"{claim}: worst of the sweep, over what is allowed", 1.0, worst)]


def _crossing_checks(name: str, dpo: Table, near: Table, double: Table) -> list[Check]:
    """J is linear in the unseen reward, so the difference of two gaps is too: two points give its zero."""
    crossings = [_zero(dpo["reward"], rows["gap"] - dpo["gap"]) for rows in (near, double)]
    predicted = float(dpo["crossing"][0])
    claim = f"{name}: unseen reward at which DPO and HyPO are equally bad, extrapolated to lambda = 0"
    measured, allowance = 2 * crossings[0] - crossings[1], abs(crossings[1] - crossings[0])
    checks = [interval(claim, predicted, measured, 0.0, allowance=allowance, why=_DOUBLED)]
    above = near["reward"] > predicted
    hypo_wins = near["gap"] < dpo["gap"]
    higher = bool(near["imputed"][0] > dpo["imputed"][0])
    side = "above" if higher else "below"
    wrong = int((hypo_wins != (above if higher else ~above)).sum())
    claim = f"{name}: rewards of the sweep at which HyPO wins though not {side} the crossing, or the other way round"
    return [*checks, upper(claim, 0.0, wrong)]


def _zero(x: np.ndarray, y: np.ndarray) -> float:
    return float(x[0] - y[0] * (x[-1] - x[0]) / (y[-1] - y[0]))


def plot(table: Table):
    """Gap against the unseen action's reward, one panel per reference."""
    names = list(dict.fromkeys(table["instance"].tolist()))
    made, axes = plotting.figure(len(names), 1, height=4.4, sharex=True)
    trained = table.where(kind=TRAINED)
    single = trained["penalty"][trained["penalty"] > 0].min()
    for ax, name in zip(axes, names, strict=True):
        for learner, penalty in ((DPO, 0.0), (RLHF, 0.0), (HYPO, single)):
            rows = trained.where(instance=name, learner=learner, penalty=penalty)
            curve = table.where(instance=name, learner=learner, penalty=penalty, kind=CURVE)
            look = {"color": plotting.COLORS[learner], "markersize": 4}
            ax.plot(rows["reward"], rows["gap"], plotting.MARKERS[learner], label=plotting.LABELS[learner], **look)
            plotting.theory(ax, curve["reward"], curve["gap"], learner)
        _mark_crossing(ax, trained.where(instance=name))
        ax.set(ylabel=r"gap $J(\pi^*)-J(\pi)$", title=name)
    axes[-1].set_xlabel("true reward of the unseen action")
    plotting.legend(made, columns=2, theory_label="closed form")
    failed = len({tuple(lane) for lane in zip(*(trained[k][trained["failed"] > 0] for k in _LANE), strict=True)})
    plotting.caption(
        made,
        "Tabular softmax, population labels on four seen actions, one unseen. Points: trained policies (HyPO at "
        f"lambda = {single:g}); dashed: closed forms (lambda = 0+). Grey: where DPO and HyPO cross; the name says who "
        f"wins on which side. Policies that did not converge: {failed}.",
    )
    return made


def _mark_crossing(ax, rows: Table) -> None:
    crossing = float(rows["crossing"][0])
    values = {name: float(rows.where(learner=name)["imputed"][0]) for name in (DPO, HYPO)}
    order = sorted(values, key=values.__getitem__)
    ax.axvline(crossing, color="#888888", linewidth=0.8, zorder=1)
    top = ax.get_ylim()[1]
    for learner, shift, side in ((order[0], -4, "right"), (order[1], 4, "left")):
        where = {"textcoords": "offset points", "xytext": (shift, 0), "ha": side, "va": "top", "fontsize": 7}
        ax.annotate(f"{plotting.LABELS[learner]} wins", (crossing, top), color=plotting.COLORS[learner], **where)


EXPERIMENT = Experiment(
    name="who_wins",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_points=5, num_curve=21, penalty=0.002, num_steps=60_000),
        "default": Config(),
        "paper": Config(num_points=49, num_curve=481),
    },
    run=run,
    check=check,
    plot=plot,
)
