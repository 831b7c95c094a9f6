"""The mass that training moves to actions without labels: DPO's goes either way, by one condition; HyPO's only up."""

import dataclasses
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits, plotting
from banditlab.estimators.descent import descend
from banditlab.store import Shards, Table
from experiments.framework.checks import Check, identity, lower, upper
from experiments.framework.experiment import Experiment
from experiments.partial_coverage.shared import label_curvature

CLAIM = (
    "In the tabular class DPO moves mass to unseen actions iff sum_S ref_a e^{(r_a - rbar_S)/beta} < ref(S): for some "
    "references, never for one that is uniform on S; HyPO does at its stationary point, though not on the way there."
)
RANDOM, UNIFORM = "random reference", "uniform reference"
DPO, HYPO = "dpo", "hypo"
# On the gradient norm, for what counts as converged.
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Config:
    """Random bandits of one context whose seen actions share 1 - sum(unseen_mass) of pi_ref, Dirichlet(1) or equally.

    Rewards are uniform in (-s, s), s uniform in (0, spread). Labels: the population's, on uniform seen pairs.
    """

    num_bandits: int = 768
    num_uniform: int = 256
    num_seen: int = 5
    unseen_mass: tuple[float, ...] = (0.15, 0.05)
    spread: float = 2.0
    beta: float = 1.0
    penalty: float = 0.1
    num_steps: int = 1000
    early_steps: int = 10
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """A row per bandit and learner: the log of the growth of the unseen mass, trained and predicted."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_bandits + config.num_uniform), partial(train, config))
    family = np.repeat([RANDOM, UNIFORM], [config.num_bandits, config.num_uniform])
    tables, failures = [], {}
    for place, (learner, penalty) in enumerate(((DPO, 0.0), (HYPO, config.penalty))):
        early, logs = np.moveaxis(data["log_policy"][place], 1, 0)
        norm, ratio = data["gradient_norm"][place], logs - np.log(data["reference"])
        for name in (RANDOM, UNIFORM):
            failures[f"{name}, {learner}: not converged"] = int((norm[family == name] > _TOLERANCE).sum())
        predicted = data["growth"] if learner == DPO else (np.exp(logs) * ratio).sum(axis=1)
        columns = {"family": family, "learner": learner, "penalty": penalty, "condition": data["condition"]}
        columns |= {"unseen_mass": sum(config.unseen_mass), "early_steps": config.early_steps}
        columns |= {"early": _growth(config, early), "growth": _growth(config, logs), "predicted": predicted}
        columns |= {"allowed": _allowed(config, data, place), "gradient_norm": norm}
        tables.append(Table(columns | {"least": ratio[:, config.num_seen :].min(axis=1)}))
    return Table.stack(tables, meta={"failures": failures})


def _growth(config: Config, log_policy: np.ndarray) -> np.ndarray:
    """(bandits,) log pi(U)/pi_ref(U)."""
    return np.log(np.exp(log_policy[:, config.num_seen :]).sum(axis=1) / sum(config.unseen_mass))


def _allowed(config: Config, data: dict[str, np.ndarray], place: int) -> np.ndarray:
    """(bandits,) how far a log-probability can be from its prediction at a point with this gradient, with rounding."""
    norm, logs = data["gradient_norm"][place], data["log_policy"][place, :, -1]
    ratio = logs - np.log(data["reference"])
    if place == 1:  # the gradient of an unseen action is lambda pi(u) [log pi(u)/pi_ref(u) - KL]
        return (norm / config.penalty + 2.0**-50 * np.abs(ratio).max()) / np.exp(logs).min(axis=1)
    # Gradient over curvature, twice for its change on the way, twice for log pi; the rounding of every step.
    pairs = zip(data["outcomes"], data["reward"], strict=True)
    least = np.array([label_curvature.least_curvature(wins[None], reward[None]) for wins, reward in pairs])
    return 4 * norm / (config.beta**2 * least) + 2.0**-52 * np.abs(logs).max() * config.num_steps


def train(config: Config) -> dict[str, np.ndarray]:
    """Per bandit: reference, reward, outcome law, the closed forms; by learner what it ends at, and has early on."""
    reference, reward = draw(config)
    seen = np.arange(reward.shape[1])[None] < config.num_seen
    law = np.triu(seen[0][:, None] & seen[0][None, :], 1).astype(float)
    env = bl.instances.tabular(np.zeros(seen.shape), beta=config.beta)
    # The largest eigenvalues of the two Hessians are at most these.
    curvature = config.beta**2 * config.num_seen / (4 * law.sum()) + np.array([0.0, config.penalty / 4])
    settings = (jnp.asarray([0.0, config.penalty]), jnp.asarray(1 / curvature))
    record_at = jnp.asarray([config.early_steps, config.num_steps])
    arrays = (jnp.asarray(value) for value in (reference, reward, law[None] / law.sum(), seen))
    found = _ends(env, *arrays, *settings, record_at)
    return {name: np.asarray(value) for name, value in found.items()} | {"reference": reference, "reward": reward}


def draw(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """References and rewards (bandits, A), those with a random reference first."""
    rng = np.random.default_rng(config.seed)
    number, unseen = config.num_bandits + config.num_uniform, np.asarray(config.unseen_mass)
    shares = rng.dirichlet(np.ones(config.num_seen), number)
    shares[config.num_bandits :] = 1 / config.num_seen
    reference = np.concatenate([(1 - unseen.sum()) * shares, np.broadcast_to(unseen, (number, len(unseen)))], axis=1)
    spread = rng.uniform(0.0, config.spread, (number, 1))
    return reference, spread * rng.uniform(-1.0, 1.0, reference.shape)


@jax.jit
def _ends(env, reference, reward, law, seen, penalties, step_sizes, record_at):
    """Closed forms (bandits,); per penalty the policies recorded (2, bandits, R, A) and last gradient norms."""

    def one(probs, rewards):
        logs = jnp.log(probs)[None]
        bandit = dataclasses.replace(env, log_reference=logs, given_reward=rewards[None])
        wins = bl.preferences.outcome_law(bandit, law)

        def trained(penalty, step_size):
            options = {"record_at": record_at, "step_size": step_size, "penalty": penalty}
            found = descend(jax.random.key(0), bandit, wins, logs[0], **options)
            return jax.vmap(bandit.log_policy)(found.params)[:, 0], found.gradient_norm[-1]

        condition = gradient_limits.unseen_growth(bandit, rewards[None], seen)[0]
        limit = gradient_limits.dpo_flow_limit(bandit, rewards[None], seen)[0]
        mass = [jnp.sum(jnp.where(seen[0], 0.0, jnp.exp(table))) for table in (limit, logs[0])]
        ends = jax.vmap(trained)(penalties, step_sizes)
        return *ends, condition, jnp.log(mass[0] / mass[1]), wins[0]

    log_policy, norm, condition, growth, outcomes = jax.vmap(one, out_axes=(1, 1, 0, 0, 0))(reference, reward)
    return {
        "log_policy": log_policy,
        "gradient_norm": norm,
        "condition": condition,
        "growth": growth,
        "outcomes": outcomes,
    }


def check(table: Table) -> list[Check]:
    """DPO's growth and its sign, HyPO's, and the references that are uniform on the seen actions."""
    dpo, hypo = table.where(learner=DPO), table.where(learner=HYPO)
    checks = [upper("descents that did not converge", 0.0, (table["gradient_norm"] > _TOLERANCE).sum())]
    for learner, rows, name in (
        ("DPO", dpo, "log of the growth of the unseen mass, closed form"),
        ("HyPO", hypo, "log of the growth of the unseen mass = KL(pi||pi_ref)"),
    ):
        share = np.abs(rows["growth"] - rows["predicted"]) / rows["allowed"]
        checks.append(upper(f"{learner}: {name}, worst of {len(rows)}, over what is allowed", 1.0, share.max()))
        drawn = rows.where(family=RANDOM)
        means = [float(np.abs(drawn[column]).mean()) for column in ("predicted", "growth")]
        allowed = float(drawn["allowed"].max())
        why = "gradient over curvature (DPO), gradient over lambda pi(u) (HyPO), rounding"
        checks.append(identity(f"{learner}: {name}, mean size", *means, atol=allowed, why=why))
    signs = (dpo["growth"] > 0) != (dpo["condition"] < 0)
    decided = np.abs(dpo["growth"]) > dpo["allowed"]
    claim = f"DPO: bandits of {len(dpo)} whose unseen mass grows against the condition, or shrinks against it"
    checks.append(upper(claim, 0.0, (signs & decided).sum()))
    drawn, even = dpo.where(family=RANDOM), dpo.where(family=UNIFORM)
    for word, number in (("grows", (drawn["growth"] > 0).sum()), ("shrinks", (drawn["growth"] < 0).sum())):
        checks.append(lower(f"DPO, {len(drawn)} random references: bandits whose unseen mass {word}", 1.0, number))
    claim = f"DPO, reference uniform on the seen actions: largest growth of the unseen mass, {len(even)} bandits"
    checks.append(upper(claim, 0.0, even["growth"].max()))
    claim = f"HyPO at its stationary point: smallest growth of any unseen action, {len(hypo)} bandits"
    checks.append(lower(claim, 0.0, hypo["least"].min()))
    # At pi_ref the penalty has no gradient: HyPO starts as DPO does.
    shrunk = (hypo.where(family=RANDOM)["early"] < 0).sum()
    claim = (
        f"HyPO after {hypo['early_steps'][0]} steps, {len(drawn)} random references: bandits whose unseen mass is below"
    )
    return [*checks, lower(f"{claim} that of pi_ref", 1.0, shrunk)]


def plot(table: Table):
    """Growth of the unseen mass against the condition."""
    made, ax = plotting.figure(height=2.9)
    for learner, family, key, label, size in (
        (HYPO, RANDOM, "hypo", "HyPO", 2.2),
        (DPO, RANDOM, "dpo", "DPO", 2.2),
        (DPO, UNIFORM, "uniform", "DPO, reference uniform on S", 4.0),
    ):
        rows = table.where(learner=learner, family=family)
        look = {"marker": plotting.MARKERS[key], "color": plotting.COLORS[key], "markersize": size}
        ax.plot(rows["condition"], rows["growth"], linestyle="", alpha=0.6, label=label, **look)
    dpo = table.where(learner=DPO)
    mass = float(dpo["unseen_mass"][0])
    grid = np.linspace(dpo["condition"].min(), dpo["condition"].max(), 200)
    plotting.theory(ax, grid, -np.log(mass + (1 - mass) * np.exp(grid)), "dpo")
    ax.axhline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.axvline(0.0, color="#888888", linewidth=0.6, zorder=1)
    ax.set(ylabel=r"$\log\,\pi(U)/\pi_{\mathrm{ref}}(U)$")
    ax.set_xlabel(r"$\log\,\Sigma_S\,\mathrm{ref}_a e^{(r_a-\bar r_S)/\beta}/\mathrm{ref}(S)$")
    plotting.legend(made, columns=2, theory_label="closed form, DPO")
    hypo = table.where(learner=HYPO, family=RANDOM)
    penalty, gained = float(hypo["penalty"][0]), float((hypo["least"] > 0).mean())
    drawn, failed = dpo.where(family=RANDOM), (table["gradient_norm"] > _TOLERANCE).sum()
    plotting.caption(
        made,
        f"{len(drawn)} random bandits, five seen and two unseen actions (mass {mass:g} under pi_ref), tabular softmax, "
        "population labels; each trained by gradient descent. DPO's unseen mass grows in "
        f"{(drawn['growth'] > 0).mean():.0%} of them, HyPO's (lambda = {penalty:g}) in {gained:.0%} "
        f"(after {hypo['early_steps'][0]} steps: in {(hypo['early'] > 0).mean():.0%}). Not converged: {failed}.",
    )
    return made


EXPERIMENT = Experiment(
    name="unseen_mass",
    claim=CLAIM,
    family="partial_coverage",
    presets={
        "smoke": Config(num_bandits=64, num_uniform=16),
        "default": Config(),
        "paper": Config(num_bandits=7680, num_uniform=2560),
    },
    run=run,
    check=check,
    plot=plot,
)
