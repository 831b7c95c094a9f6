"""The null test: with one unbounded tabular class, RLHF and DPO are the same on seen actions; a bound parts them."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.algorithms.rlhf import rlhf
from banditlab.claims import Check, Experiment, Shards, Table, identity, statistics, upper
from banditlab.estimators.descent import descend
from banditlab.exact.bradley_terry import descent_remainder, strongly_connected
from banditlab.store import failures

CLAIM = (
    "With one unbounded tabular class RLHF and DPO give the same policy on the seen actions, whatever the data set; a "
    "bound B on the reward parts them exactly where the fitted rewards span more than 2B."
)
COLUMNS = {
    "*": {
        "worst": "largest `distance` of any data set [nats]",
        "distance": "largest log-ratio pi(i)/pi(j) between the two policies of a data set [nats]",
    },
    "newton": {
        "span": "smallest span over data sets of the fitted reward on the seen actions [reward]",
        "ratio": "span of log pi/pi_ref on the seen actions, DPO over RLHF, of the data set farthest from 1",
        "data_sets": "data sets whose likelihood has a maximum [data sets]",
        "missing": "data sets whose likelihood has no maximum, left out [data sets]",
        "num_actions": "actions of a bandit [actions]",
        "num_seen": "actions that labels compare [actions]",
        "labels": "labels of a data set [labels]",
    },
    "descent": {
        "steps": "gradient steps of DPO from pi_ref [steps]",
        "excess": "largest distance beyond the remainder of descent, over data sets [nats]",
        "remainder": "largest bound over data sets on the distance of descent from its limit, by its gradient [nats]",
    },
    "bounded": {
        "bound": "bound B on RLHF's |reward| [reward]",
        "shortfall": "largest amount over data sets by which a distance is below (span - 2B)/beta [nats]",
        "ball": "largest KL(pi||pi_ref) over data sets, over 2B/beta",
        "parted": "share of data sets that the bound parts",
        "expected": "share of data sets whose unbounded fit spans more than 2B",
        "least": "median over data sets of (span - 2B)/beta, 0 where negative [nats]",
    },
}
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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """DPO by Newton, by descent per number of steps, and bounded RLHF per bound: log-ratios away from plain RLHF."""
    shards.expect(1)
    data, seen = shards.get("fits", (0, config.num_data), partial(_simulate, config)), config.num_seen
    reward = data["reward"][:, :seen]
    span = np.ptp(reward, axis=1)
    ratios = np.divide(*(np.ptp((data[name] - data["reference"])[:, :seen], axis=1) for name in ("dpo", "rlhf")))
    _, newton = _distances(data["dpo"][:, None], data["rlhf"], seen)
    newton |= {"span": span.min(), "ratio": ratios[np.abs(ratios - 1).argmax()]}
    newton |= {"data_sets": len(span), "missing": config.num_data - len(span)}
    newton |= {"num_actions": config.num_actions, "num_seen": seen, "beta": config.beta, "labels": config.num_labels}
    # Where descent starts at pi_ref and the reward is the shortest, they agree on the unseen actions too.
    distance, descent = _distances(data["descent"], data["rlhf"], config.num_actions)
    remainder = descent_remainder(data["wins"][:, :seen, :seen], reward, config.beta, data["norm"].T)
    descent |= {"excess": (distance - remainder).max(1), "remainder": remainder.max(1)}
    distance, bounded = _distances(data["bounded"], data["rlhf"], seen)
    bounds = np.array(config.bounds, float)[:, None]
    least = np.maximum(span - 2 * bounds, 0.0) / config.beta
    bounded |= {"shortfall": (least - distance).max(1), "ball": (data["kl"].T * config.beta / (2 * bounds)).max(1)}
    bounded |= {"parted": (distance > _PARTED).mean(1), "expected": (least > _PARTED).mean(1)}
    return {
        "newton": Table(newton),
        "descent": Table({"steps": np.array(config.steps, float)} | descent),
        "bounded": Table({"bound": bounds[:, 0]} | bounded | {"least": np.median(least, axis=1)}),
    }


def _distances(policies: np.ndarray, other: np.ndarray, among: int) -> tuple[np.ndarray, dict]:
    """(P, N) largest log-ratios between policies (N, P, A) and another (N, A), of actions below `among`; columns."""
    distance = np.ptp((policies - other[:, None])[:, :, :among], axis=2).T
    rows = [{"worst": values.max()} | statistics.quantiles("distance", values) for values in distance]
    return distance, dict(Table.from_rows(rows).columns)


def _simulate(config: Config) -> dict[str, np.ndarray]:
    """Data sets with a maximum and log-policies (N, ..., A): of DPO, plain and bounded RLHF, gradient descent."""
    rng = np.random.default_rng(config.seed)
    shape = (config.num_data, 1, config.num_actions)
    rewards = config.spread * rng.standard_normal(shape)
    references = np.log(rng.dirichlet(np.full(config.num_actions, config.concentration), shape[:2]))
    seen = np.arange(config.num_actions) < config.num_seen
    template = bl.instances.tabular(rewards[0], references[0], beta=config.beta)
    learners = bl.algorithms.offline_dpo(config.num_labels), rlhf(config.num_labels), rlhf(config.num_labels, 1.0)
    arrays = [jnp.asarray(values) for values in (rewards, references, seen, config.bounds, config.steps)]
    keys = jax.random.split(jax.random.key(config.seed), config.num_data)
    found = jax.device_get(_fits(template, *learners, keys, *arrays))
    # Without a chain of wins from every seen action to every other there is no maximum, and nothing to compare.
    exists = strongly_connected(found["wins"][:, : config.num_seen, : config.num_seen])
    found = {name: values[exists] for name, values in found.items()}
    failed = {
        "data sets without a maximum of the likelihood": ~exists,
        "fits not converged": found["status"] != 0,
        "labels that differ between the two": found["wins"] != found["rlhf_wins"],
    }
    return found | failures(failed)


@jax.jit
def _fits(template, dpo, plain, bounded, keys, rewards, references, seen, bounds, steps):
    def one(key, reward, log_reference):
        initial = jnp.where(seen, log_reference[0], -800.0)
        base = template.log_base
        env = template.replace(reward=reward, log_reference=log_reference, log_base=base, initial_params=initial)

        def under(bound):
            algorithm = replace(bounded, settings=bounded.settings | {"reward_bound": bound})
            state, info = algorithm.step(key, algorithm.init(key, env), env)
            return state.log_policy[0], bl.metrics.kl_reference(env, state.log_policy), info.status

        # The same key: the same labels.
        (first, bought), (second, fitted) = (each.step(key, each.init(key, env), env) for each in (dpo, plain))
        policies, kl, statuses = jax.vmap(under)(bounds)
        # L = beta^2/2 bounds the curvature of the mean loss: twice the largest share of labels an action can have,
        # times the largest sigma' = 1/4.
        path = descend(key, env, first.wins, log_reference[0], record_at=steps, step_size=2.0 / env.beta**2)
        found = {"wins": first.wins, "rlhf_wins": second.wins, "reference": log_reference, "reward": second.reward}
        found |= {"dpo": first.log_policy, "rlhf": second.log_policy}
        found = {name: values[0] for name, values in found.items()}  # of the one context
        found |= {"bounded": policies, "kl": kl, "descent": path.params, "norm": path.gradient_norm}
        return found | {"status": jnp.concatenate([jnp.stack([bought.status, fitted.status]), statuses])}

    return jax.lax.map(lambda args: one(*args), (keys, rewards, references), batch_size=256)


def check(tables: dict[str, Table]) -> list[Check]:
    """The two agree to what the optimisers leave; a bound parts them where, and at least as far as, it must."""
    newton = {name: values[0] for name, values in tables["newton"].columns.items()}
    descent, bounded = tables["descent"], tables["bounded"]
    why = "Newton stops at a change of margin of 1e-5 in each fit; the error is of its square, over beta"
    claim = f"seen actions, worst of {newton['data_sets']} data sets: DPO by Newton and RLHF, log-ratios apart"
    checks = [upper(claim, 0.0, newton["worst"], allowance=4e-10 / newton["beta"], why=why)]
    claim = "span of log pi/pi_ref on the seen actions, DPO by Newton over RLHF, farthest from 1"
    smallest = f"{why}; the smallest span is {newton['span']:.2g} in rewards"
    checks.append(identity(claim, 1.0, newton["ratio"], why=smallest, rtol=4e-10 / newton["span"]))
    end = descent["steps"].argmax()
    why = f"rounding; what {descent['steps'][end]:.0f} steps leave, from the gradient there, is subtracted"
    claim = "all actions: DPO by gradient descent and RLHF, log-ratios apart beyond the remainder of descent"
    checks.append(upper(claim, 0.0, descent["excess"][end], allowance=1e-9, why=why))
    claim = "the largest remainder of descent after all steps"
    checks.append(upper(claim, 0.0, descent["remainder"][end], allowance=1e-3, why="what the last check can see"))
    for bound, expected, parted in zip(*(bounded[name] for name in ("bound", "expected", "parted")), strict=True):
        claim = f"share of data sets that the bound {bound:g} parts: those with span > 2B"
        checks.append(identity(claim, expected, parted, why="no tolerance"))
    why = "the fit's suboptimality of 1e-9, in rewards, over beta"
    claim = "bounded: how far a log-ratio falls short of (span - 2B)/beta, at most"
    checks.append(upper(claim, 0.0, bounded["shortfall"].max(), allowance=1e-6, why=why))
    claim, why = "bounded: KL(pi||pi_ref) over 2B/beta, at most", "pi ∝ pi_ref e^{r/beta} has KL <= span(r)/beta"
    return [*checks, upper(claim, 1.0, bounded["ball"].max(), why=why)]


def plot(tables: dict[str, Table]):
    """Above, descent towards RLHF; below, how far a bound moves RLHF from DPO."""
    made, (top, bottom) = plotting.figure(2, 1, height=4.4)
    newton, bounded = {name: values[0] for name, values in tables["newton"].columns.items()}, tables["bounded"]
    later = tables["descent"].kept(tables["descent"]["steps"] > 0)
    plotting.band(top, later["steps"], statistics.band(later, "distance"), "dpo", label="DPO by gradient descent")
    dotted = {"color": plotting.COLORS["dpo"], "linewidth": 0.9, "linestyle": ":"}
    line = top.axhline(newton["worst"], **dotted)
    plotting.direct_label(line, "by Newton, worst data set", place=0, offset=(3, 5))
    top.set(xscale="log", yscale="log", xlabel="gradient steps")
    top.set_title("One unbounded class: DPO is RLHF")
    distances = statistics.band(bounded, "distance")
    plotting.band(bottom, bounded["bound"], distances, "rlhf", label="RLHF, |reward| at most $B$")
    plotting.theory(bottom, bounded["bound"], bounded["least"], "rlhf", label=r"at least (span $-$ 2$B$)/$\beta$")
    bottom.set_xlabel("bound $B$ on the reward")
    bottom.set_title("Rewards that span over 2$B$ part them")
    for ax in (top, bottom):
        ax.set_ylabel("largest log-ratio between\nDPO and RLHF [nats]")
    plotting.legend(made)
    plotting.caption(
        made,
        f"{newton['data_sets']:,} random tabular bandits, {newton['num_seen']} of {newton['num_actions']} actions "
        f"seen, {newton['labels']:,} labels each, $\\beta$ = {newton['beta']:g}: medians. Bands: 10 to 90% of the data "
        "sets. Above: all actions, descent from $\\pi_{\\mathrm{ref}}$, reward of least norm; below: seen ones."
        f"{plotting.only_if(newton['missing'], ' Left out: {} without a maximum of the likelihood.')}",
    )
    return made


PRESETS = {
    "smoke": Config(num_data=16, bounds=(0.5, 2.0), steps=(0, 40, 640)),
    "default": Config(),
    "paper": Config(num_data=8192),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
