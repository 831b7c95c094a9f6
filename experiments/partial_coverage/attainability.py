"""Where training ends: DPO's gradient-flow limit, HyPO's stationary point and its limit in lambda, in closed form."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import gradient_limits
from banditlab.estimators.descent import descend
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, interval, lower, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage import component_limits
from experiments.partial_coverage.attainability_view import ADAM, DPO, HYPO, plot, rows_where
from experiments.partial_coverage.shared import label_curvature

CLAIM = (
    "Gradient descent on the DPO loss of a tabular softmax ends where the logits' sum over every component of compared "
    "actions is that of pi_ref (Adam does not); with a KL penalty every unseen action gains KL(pi||pi_ref) in "
    "log-probability, at a distance of order lambda from a limit that is not DPO's."
)
# Actions of the first context that no label mentions.
_UNSEEN = (4, 5)


@dataclass(frozen=True)
class Config:
    """Temperatures and penalties (the smallest three a factor of two apart), steps, and finite data sets.

    One data set fewer than penalties makes both programs one.
    """

    betas: tuple[float, ...] = (0.5, 1.0, 2.0)
    penalties: tuple[float, ...] = (0.002, 0.004, 0.008, 0.03, 0.1, 0.3, 1.0)
    hypo_steps: int = 50_000
    dpo_steps: int = 4_000
    adam_steps: int = 20_000
    learning_rate: float = 0.003
    num_labels: int = 1000
    num_datasets: int = 6
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """A row per trained policy, context and action: its log-ratio to pi_ref, and the closed form's."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_datasets), partial(train, config))
    env, seen, law = component_limits.instance()
    population = np.asarray(bl.preferences.outcome_law(env, jnp.asarray(law)))
    rows, failures = [], {"no maximum of the likelihood": 0}
    for lane in range(len(data["beta"])):
        optimizer, penalty, beta = str(data["optimizer"][lane]), float(data["penalty"][lane]), float(data["beta"][lane])
        wins = population if data["dataset"][lane] < 0 else data["wins"][data["dataset"][lane]]
        reward = np.asarray(env.reward) if data["dataset"][lane] < 0 else component_limits.maximum_likelihood(wins)
        if reward is None:
            failures["no maximum of the likelihood"] += 1
            continue
        limit = gradient_limits.hypo_small_penalty_limit if penalty > 0 else gradient_limits.dpo_flow_limit
        predicted = np.asarray(limit(env, reward, seen, pairs=law, beta=beta))
        tables = (np.asarray(env.log_reference), predicted, population, np.asarray(env.reward))
        slope = component_limits.first_order(*tables, beta)
        measured, norm = data["log_policy"][lane], float(data["gradient_norm"][lane])
        shared = {"optimizer": optimizer, "beta": beta, "penalty": penalty, "dataset": int(data["dataset"][lane])}
        shared |= {"gradient_norm": norm, "num_steps": int(data["num_steps"][lane])}
        shared |= _allowances(np.asarray(env.log_reference), measured, wins / wins.sum(), reward, shared)
        for context, action in np.ndindex(*measured.shape):
            reference = float(env.log_reference[context, action])
            row = shared | {"context": context, "action": action, "unseen": int(not seen[context, action])}
            row |= {"log_reference": reference, "log_ratio": measured[context, action] - reference}
            row |= {"predicted": predicted[context, action] - reference}
            rows.append(row | {"slope": slope[context, action] if penalty > 0 else 0.0})
    return Table.from_rows(rows, meta={"failures": failures})


def train(config: Config) -> dict[str, np.ndarray]:
    """Every trained policy, with how it was trained; `dataset` is -1 for population labels."""
    env, _, law = component_limits.instance()
    outcomes = bl.preferences.outcome_law(env, jnp.asarray(law))
    counts = np.random.default_rng(config.seed).multinomial(
        config.num_labels, np.asarray(outcomes).ravel(), config.num_datasets
    )
    wins = counts.reshape(-1, *outcomes.shape).astype(float)
    exact, drawn = (-1,), range(-1, config.num_datasets)
    columns = []
    for optimizer, penalties, datasets, num_steps in (
        (HYPO, config.penalties, exact, config.hypo_steps),
        (DPO, (0.0,), drawn, config.dpo_steps),
        (ADAM, (0.0,), exact, config.adam_steps),
    ):
        lanes = [(beta, penalty, dataset) for beta in config.betas for penalty in penalties for dataset in datasets]
        beta, penalty, dataset = (np.asarray(values) for values in zip(*lanes, strict=True))
        # The largest eigenvalues of the two Hessians are about beta^2/8 and below 1/4.
        step = np.full(len(beta), config.learning_rate) if optimizer == ADAM else 1 / (beta**2 / 12 + penalty / 4)
        labels = np.concatenate([wins, np.asarray(outcomes)[None]])[dataset]
        arrays = (jnp.asarray(value) for value in (labels, beta, penalty, step))
        found = _descend(env, *arrays, jnp.asarray([num_steps]), optimizer=ADAM if optimizer == ADAM else "gradient")
        column = {"optimizer": np.full(len(beta), optimizer), "num_steps": np.full(len(beta), num_steps)}
        column |= {"beta": beta, "penalty": penalty, "dataset": dataset}
        columns.append(column | {name: np.asarray(value) for name, value in found.items()})
    return {k: np.concatenate([each[k] for each in columns]) for k in columns[0]} | {"wins": wins}


@partial(jax.jit, static_argnames="optimizer")
def _descend(env, wins, beta, penalty, step_size, record_at, *, optimizer) -> dict[str, Array]:
    start = env.log_reference.reshape(-1)

    def one(labels, temperature, weight, step):
        options = {"record_at": record_at, "step_size": step, "penalty": weight, "beta": temperature}
        found = descend(jax.random.key(0), env, labels, start, **options, optimizer=optimizer)
        return {"log_policy": env.log_policy(found.params[-1]), "gradient_norm": found.gradient_norm[-1]}

    return jax.vmap(one)(wins, beta, penalty, step_size)


def _allowances(log_reference: np.ndarray, log_policy: np.ndarray, wins: np.ndarray, reward: np.ndarray, lane) -> dict:
    """How far a point with this gradient can be from the optimum, and from (3) of `gradient_limits`.

    A gradient g in the logits leaves them |g|/mu from the optimum, mu the least curvature beta^2 l of the loss (twice
    that, for its change on the way), and log pi twice as far. The sums over components are conserved up to the
    rounding of every step. A residual of (3) is a partial sum of g over lambda rho pi(C).
    """
    least = lane["beta"] ** 2 * label_curvature.least_curvature(wins, reward)
    rounding = 2.0**-52 * np.abs(log_policy).max() * log_policy.shape[1] * lane["num_steps"]
    columns = {"allowed": 4 * lane["gradient_norm"] / least + rounding, "residual": 0.0, "allowed_residual": 0.0}
    if lane["penalty"] == 0:
        return columns
    env, seen, law = component_limits.instance()
    residual = np.abs(np.asarray(gradient_limits.hypo_stationarity(env, log_policy, seen, pairs=law)))
    smallest = float(np.asarray(env.context_probs).min()) * np.exp(log_policy).min()
    bound = np.sqrt(log_policy.shape[1]) * lane["gradient_norm"] / (lane["penalty"] * smallest)
    largest = np.abs(log_policy - log_reference).max()
    return columns | {"residual": residual.max(), "allowed_residual": bound + 2.0**-50 * largest / smallest}


def check(table: Table) -> list[Check]:
    """Limits of DPO, Adam's distance from them, HyPO's stationarity, and its first order in lambda."""
    return [*_dpo_checks(table), *_stationarity_checks(table), *_limit_checks(table)]


def _dpo_checks(table: Table) -> list[Check]:
    checks = []
    for finite in (False, True):
        trained = table.where(optimizer=DPO)
        trained = rows_where(trained, (trained["dataset"] >= 0) == finite)
        name = f"DPO, {'finite' if finite else 'population'} labels"
        share = np.abs(trained["log_ratio"] - trained["predicted"]) / trained["allowed"]
        claim = f"{name}: largest distance to the limit, over what gradient and rounding allow"
        checks.append(upper(claim, 1.0, share.max()))
        for beta in np.unique(trained["beta"]):
            rows = trained.where(beta=beta)
            why = "gradient over curvature, and the rounding of every step"
            masses = [_unseen_mass(rows, column) for column in ("predicted", "log_ratio")]
            claim = f"{name}, beta = {beta:g}: mass on the unseen actions"
            checks.append(identity(claim, *masses, rtol=float(rows["allowed"].max()), why=why))
    rows = table.where(optimizer=ADAM)
    for beta in np.unique(rows["beta"]):
        end = rows.where(beta=beta)
        claim = f"Adam, beta = {beta:g}: distance to DPO's limit in log-probability, over what its gradient explains"
        distance = np.abs(end["log_ratio"] - end["predicted"]).max()
        checks.append(lower(claim, 1.0, distance / end["allowed"].max()))
    return checks


def _stationarity_checks(table: Table) -> list[Check]:
    rows = table.where(optimizer=HYPO)
    worst = (rows["residual"] / rows["allowed_residual"]).max()
    claim = "HyPO, every beta and lambda: residual of (3) in units of what its gradient and rounding allow"
    checks = [upper(claim, 1.0, worst)]
    for beta in np.unique(rows["beta"]):
        end = rows.where(beta=beta, penalty=rows["penalty"].max(), context=0)
        divergence = np.exp(end["log_reference"] + end["log_ratio"]) @ end["log_ratio"]
        gained = end.where(unseen=1)["log_ratio"]
        place = int(np.argmax(np.abs(gained - divergence)))
        claim = (
            f"HyPO, beta = {beta:g}, lambda = {end['penalty'][0]:g}: log(pi_u/ref_u) = KL(pi||ref), the worse action"
        )
        allowed, why = float(end["allowed_residual"][0]), "gradient over lambda rho pi(u), and rounding"
        checks.append(identity(claim, float(divergence), gained[place], atol=allowed, why=why))
    return checks


def _limit_checks(table: Table) -> list[Check]:
    """q(lambda) = [log pi - limit]/lambda = c + c' lambda + ..: from lambda and its double, extrapolated and not."""
    checks = []
    for beta in np.unique(table["beta"]):
        rows = table.where(optimizer=HYPO, beta=beta)
        smallest = np.sort(np.unique(rows["penalty"]))[:3]
        first = rows.where(penalty=smallest[0])
        place = int(np.argmax(np.abs(first["slope"])))
        where = {"context": int(first["context"][place]), "action": int(first["action"][place])}
        ends = [rows.where(penalty=value, **where) for value in smallest]
        errors = np.array([(end["log_ratio"] - end["predicted"])[0] for end in ends])
        near, double, _ = errors / smallest
        name = f"HyPO, beta = {beta:g}, lambda = {smallest[0]:g}"
        why = "what doubling lambda changes: the first neglected order, before the extrapolation removes it"
        measured, predicted = 2 * near - double, float(first["slope"][place])
        claim = f"{name}: distance to the limit over lambda, extrapolated to lambda = 0"
        checks.append(interval(claim, predicted, measured, 0.0, allowance=abs(double - near), why=why))
        slopes = np.diff(np.log(np.abs(errors))) / np.diff(np.log(smallest))
        allowance = 2 * abs(slopes[1] - slopes[0])
        why = "twice the change of the slope over the next doubling, which is its distance from 1 in first order"
        checks.append(
            interval(f"{name}: slope of the distance in lambda", 1.0, slopes[0], 0.0, allowance=allowance, why=why)
        )
    return checks


def _unseen_mass(rows: Table, column: str) -> float:
    """Mean over data sets of the mass on the unseen actions of the first context."""
    chosen = (rows["context"] == 0) & np.isin(rows["action"], _UNSEEN)
    mass = np.exp(rows["log_reference"] + rows[column])[chosen]
    return float(mass.sum() / len(np.unique(rows["dataset"])))


EXPERIMENT = Experiment(
    name="attainability",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(betas=(1.0,), penalties=(0.01, 0.02, 0.04), hypo_steps=20_000, adam_steps=5000, num_datasets=2),
        "default": Config(),
        "paper": Config(num_datasets=256, hypo_steps=200_000),
    },
    run=run,
    check=check,
    plot=plot,
)
