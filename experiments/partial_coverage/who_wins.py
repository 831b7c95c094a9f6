"""Who wins on an action without labels: the true reward swept past the values that DPO, HyPO and RLHF impute to it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits, plotting, scenarios
from banditlab.claims import Check, Experiment, Shards, Table, identity, interval, upper
from banditlab.estimators import bounded
from banditlab.exact import imputation, residuals
from banditlab.store import failures
from experiments.partial_coverage.shared import descents, label_curvature

CLAIM = (
    "Whether HyPO beats DPO is decided by the unseen action's reward, which neither observes: each is best where its "
    "own imputed value is the truth, and their gaps cross at a computable reward, on which either side may be HyPO's."
)
COLUMNS = {
    "*": {
        "instance": "bandit, named by its reference",
        "learner": "whose policy it is",
        "penalty": "lambda, the weight of KL(pi||pi_ref); 0 is training without it",
        "reward": "true reward of the unseen action [reward]",
    },
    "learners": {
        "imputed": "value that the learner implies for the unseen action, for HyPO as lambda falls to 0 [reward]",
        "crossing": "true reward of the unseen action at which the gaps of DPO and HyPO are equal [reward]",
        "failed": "1 if the learner's training did not converge, else 0",
    },
    "trained": {
        "predicted": "closed form of gap, for HyPO as lambda falls to 0 [reward]",
        "gap": "J(pi*) - J(pi) of the trained policy [reward]",
        "allowed": "how far the residual of the training lets gap be off, mostly of the size of rounding [reward]",
        "doubled": "bound on what twice the lambda changes in gap [reward]",
    },
    "curves": {"gap": "closed form of J(pi*) - J(pi), for HyPO as lambda falls to 0 [reward]"},
}
EVEN, LOSER = "even reference", "loser-heavy reference"
DPO, HYPO, RLHF = "dpo", "hypo", "rlhf"
# Learner and lambda over `Config.penalty`; what doubling HyPO's changes says how far it is from 0.
LANES = ((DPO, 0.0), (HYPO, 1.0), (HYPO, 2.0), (RLHF, 0.0))
_DOUBLED = "what doubling lambda changes, before the extrapolation removes it"


@dataclass(frozen=True)
class Config:
    """The sweep of the unseen reward; HyPO's penalty (and its double, to extrapolate); RLHF's bound; descent steps."""

    lowest: float = -3.0
    highest: float = 3.0
    num_points: int = 13
    num_curve: int = 121
    beta: float = 1.0
    penalty: float = 0.001
    reward_bound: float = 1.1
    num_steps: int = 120_000


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """What each learner imputes; its trained policy's gap at true rewards of the unseen action; the closed forms."""
    shards.expect(1)
    data = shards.get("all", (0, 1), partial(_train, config))
    points, fine = (np.linspace(config.lowest, config.highest, n) for n in (config.num_points, config.num_curve))
    learners, trained, curves = [], [], []
    for place, (name, scenario) in enumerate(_instances(config.beta).items()):
        env, seen = scenario.env, scenario.seen
        reference, rewards = np.asarray(env.log_reference)[0], np.asarray(env.reward)[0]
        bandit = (reference, rewards, np.asarray(seen)[0], config.beta)
        values = {x: imputation.imputed_value(x, *bandit, config.reward_bound) for x in (DPO, HYPO, RLHF)}
        crossing = float(gradient_limits.equal_gap_reward(env, env.reward, seen, values[DPO], values[HYPO])[0])
        log_policies = data["log_policy"][place]
        for lane, (learner, multiple) in enumerate(LANES):
            row = {"instance": name, "learner": learner, "penalty": multiple * config.penalty}
            failed = int(data["failed"][place, lane])
            learners.append(row | {"imputed": values[learner], "crossing": crossing, "failed": failed})
            moved = np.abs(log_policies[2] - log_policies[1]).max() if learner == HYPO else 0.0
            for reward in points:
                truth = env.replace(reward=np.where(seen, env.reward, reward))
                gap = float(bl.metrics.gap(truth, jnp.asarray(log_policies[lane])))
                steepest = residuals.gap_slope(log_policies[lane], np.asarray(truth.log_target), config.beta)
                allowed = {"allowed": steepest * data["error"][place, lane] + 1e-14, "doubled": steepest * moved}
                predicted = imputation.gap(values[learner], reward, *bandit)
                trained.append(row | {"reward": reward, "predicted": predicted, "gap": gap} | allowed)
        for learner, value in values.items():
            curve: dict[str, Any] = {"instance": name, "learner": learner, "reward": fine}
            curve["gap"] = [imputation.gap(value, reward, *bandit) for reward in fine]
            curves.append(Table(curve))
    return {"learners": Table.from_rows(learners), "trained": Table.from_rows(trained), "curves": Table.stack(curves)}


def _instances(beta: float) -> dict[str, scenarios.Scenario]:
    """One context, four seen actions and one unseen of mass 0.1; the same number of everything, so one program."""
    reference = np.log([[0.225, 0.225, 0.225, 0.225, 0.1]])
    even = bl.instances.tabular([[0.0, 0.2, 0.4, 2.0, 0.0]], reference, beta=beta)
    seen = np.array([[True, True, True, True, False]])
    return {EVEN: scenarios.labelled(even, seen), LOSER: scenarios.loser_heavy_reference(beta=beta)}


def _train(config: Config) -> dict[str, np.ndarray]:
    """log_policy (instances, 4, S, A), the error that its own residual allows, and whether it failed to converge."""
    columns = {"log_policy": [], "error": [], "failed": []}
    penalties = config.penalty * np.array([multiple for learner, multiple in LANES if learner != RLHF])
    for scenario in _instances(config.beta).values():
        env, wins = scenario.env, bl.preferences.outcome_law(scenario.env, scenario.pair_law)
        curvature = label_curvature.hessian(np.asarray(wins), np.asarray(env.reward))
        least = label_curvature.least_curvature(np.asarray(wins), np.asarray(env.reward))
        step = 1 / (config.beta**2 * np.linalg.eigvalsh(curvature).max() + penalties / 4)
        log_policy, norm = _descend(env, wins, *map(jnp.asarray, (penalties, step, [config.num_steps])))
        reward = bounded.fit(env, wins, config.reward_bound)
        optimum = jax.nn.log_softmax(env.log_reference + reward.reward / env.beta, axis=-1)
        columns["log_policy"].append(np.concatenate([log_policy[:, -1], optimum[None]]))
        descent = residuals.of_descent(np.asarray(norm), config.beta**2 * least) + 1e-12
        columns["error"].append(np.append(descent, residuals.of_barrier(float(reward.excess), least, config.beta)))
        columns["failed"].append(np.append(np.asarray(norm) > 1e-9, int(reward.status) != bl.Status.converged))
    arrays = {name: np.stack(values) for name, values in columns.items()}
    return arrays | failures({"policies not converged": arrays["failed"]})


_descend = jax.jit(descents.from_reference)


def check(tables: dict[str, Table]) -> list[Check]:
    """Every gap on its curve; the crossing; who wins on either side of it."""
    learners = tables["learners"]
    checks = [upper("policies that did not converge", 0.0, learners["failed"].max())]
    single = learners["penalty"][learners["penalty"] > 0].min()
    for name in dict.fromkeys(learners["instance"].tolist()):
        here = tables["trained"].where(instance=name)
        for learner, says in ((DPO, "the plain mean of the seen"), (RLHF, "its barrier's centre")):
            rows = here.where(learner=learner)
            claim = f"{name}, {learner}, imputes {says}: gap at unseen reward"
            checks += _ends(claim, rows["reward"], rows["predicted"], rows["gap"], rows["allowed"])
        near, double = here.where(penalty=single), here.where(penalty=2 * single)
        claim = f"{name}, hypo, lambda -> 0, imputes the mean under pi|S: gap at unseen reward"
        extrapolated = 2 * near["gap"] - double["gap"]
        allowed = np.abs(double["gap"] - near["gap"]) + 3 * (near["allowed"] + double["allowed"])
        checks += _ends(claim, near["reward"], near["predicted"], extrapolated, allowed, near["doubled"] + allowed)
        checks += _crossing_checks(learners.where(instance=name), here.where(learner=DPO), near, double)
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


def _crossing_checks(learners: Table, dpo: Table, near: Table, double: Table) -> list[Check]:
    crossings = [imputation.crossing(dpo["reward"], rows["gap"], dpo["gap"]) for rows in (near, double)]
    name, predicted = learners["instance"][0], float(learners["crossing"][0])
    claim = f"{name}: unseen reward at which DPO and HyPO are equally bad, extrapolated to lambda = 0"
    measured, allowance = 2 * crossings[0] - crossings[1], abs(crossings[1] - crossings[0])
    checks = [interval(claim, predicted, measured, 0.0, allowance=allowance, why=_DOUBLED)]
    higher = learners.where(learner=HYPO)["imputed"][0] > learners.where(learner=DPO)["imputed"][0]
    expected = (near["reward"] > predicted) == higher
    wrong = int(((near["gap"] < dpo["gap"]) != expected).sum())
    side = "above" if higher else "below"
    claim = f"{name}: rewards of the sweep at which HyPO wins though not {side} the crossing, or the other way round"
    return [*checks, upper(claim, 0.0, wrong)]


def plot(tables: dict[str, Table]):
    """Gap against the unseen action's reward, one panel per reference."""
    learners = tables["learners"]
    names = list(dict.fromkeys(learners["instance"].tolist()))
    made, axes = plotting.figure(len(names), 1, height=4.4, sharex=True)
    single = learners["penalty"][learners["penalty"] > 0].min()
    for ax, name in zip(axes, names, strict=True):
        for learner, penalty in ((DPO, 0.0), (RLHF, 0.0), (HYPO, single)):
            rows = tables["trained"].where(instance=name, learner=learner, penalty=penalty)
            curve = tables["curves"].where(instance=name, learner=learner)
            look = {"color": plotting.COLORS[learner], "markersize": 4.5}
            ax.plot(rows["reward"], rows["gap"], plotting.MARKERS[learner], label=plotting.LABELS[learner], **look)
            plotting.theory(ax, curve["reward"], curve["gap"], learner)
        ax.set(ylabel=r"gap $J(\pi^*)-J(\pi)$ [reward]")
        _mark_crossing(ax, name, learners.where(instance=name))
    axes[-1].set_xlabel("true reward of the unseen action")
    plotting.legend(made, columns=4, theory_label="closed form")
    failed = int(learners["failed"].sum())
    plotting.caption(
        made,
        "Tabular softmax, population labels on four seen actions, one unseen. Markers: trained policies, HyPO at "
        f"$\\lambda$ = {single:g}; dashed: closed forms, HyPO's as $\\lambda\\to 0$. Grey: where DPO and HyPO are "
        f"equally good.{plotting.only_if(failed, ' Policies that did not converge: {}.')}",
    )
    return made


def _mark_crossing(ax, name: str, learners: Table) -> None:
    """A line at the crossing, with who wins on either side."""
    crossing = float(learners["crossing"][0])
    order = sorted((DPO, HYPO), key=lambda name: learners.where(learner=name)["imputed"][0])
    ax.axvline(crossing, color="#888888", linewidth=0.8, zorder=1, gid="labelled")
    top = ax.get_ylim()[1]
    for learner, shift, side in ((order[0], -4, "right"), (order[1], 4, "left")):
        where = {"textcoords": "offset points", "xytext": (shift, 0), "ha": side, "va": "top", "fontsize": 7}
        ax.annotate(f"{plotting.LABELS[learner]} wins", (crossing, top), **where)
    ax.set_title(f"{name}: HyPO wins {'above' if order[-1] == HYPO else 'below'} ${crossing:.1f}$")


PRESETS = {
    "smoke": Config(num_points=5, num_curve=21, penalty=0.002, num_steps=60_000),
    "default": Config(),
    "paper": Config(num_points=49, num_curve=481),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
