"""The mass that training moves to actions without labels: DPO's goes either way, by one condition; HyPO's only up."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import gradient_limits, plotting
from banditlab.claims import Check, Experiment, Shards, Table, identity, lower, upper
from banditlab.exact import residuals
from banditlab.store import failures
from experiments.partial_coverage.shared import descents, label_curvature

CLAIM = (
    "In the tabular class DPO moves mass to unseen actions iff sum_S ref_a e^{(r_a - rbar_S)/beta} < ref(S): for some "
    "references, never for one that is uniform on S; HyPO does at its stationary point, though not on the way there."
)
COLUMNS = {
    "*": {
        "reference": "how pi_ref is on the seen actions: Dirichlet(1), equal shares",
        "condition": "log sum_S pi_ref e^{(r - rbar_S)/beta}/pi_ref(S), S the seen actions: below 0 the others gain",
        "unseen_mass": "mass of the unseen actions under pi_ref",
        "num_seen": "actions that labels compare [actions]",
        "num_unseen": "actions without labels [actions]",
        "early_steps": "gradient steps behind `early` [steps]",
        "early": "log of the unseen mass over its mass under pi_ref, after `early_steps` [nats]",
        "growth": "log of the unseen mass over its mass under pi_ref, after all steps [nats]",
        "allowed": "bound on |growth - prediction| from the last gradient and rounding [nats]",
        "gradient_norm": "norm of the last gradient, a rounding-level residual",
        "least": "log pi/pi_ref of the unseen action that gains least [nats]",
    },
    "dpo": {"predicted": "growth at DPO's stationary point, closed form [nats]"},
    "hypo": {
        "penalty": "weight lambda of HyPO's KL penalty",
        "divergence": "KL(pi||pi_ref) of the trained policy, which is `growth` at a stationary point [nats]",
    },
}
RANDOM, UNIFORM = "random reference", "uniform reference"
LEARNERS = ("dpo", "hypo")
TOLERANCE = 1e-8  # on the gradient norm, for what counts as converged


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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A part per learner, a row per bandit: the log of the growth of the unseen mass, trained and predicted."""
    shards.expect(1)
    number = config.num_bandits + config.num_uniform
    data = shards.get("all", (0, number), partial(_train, config))
    shared = {
        "reference": np.repeat([RANDOM, UNIFORM], [config.num_bandits, config.num_uniform]),
        "condition": data["condition"],
        "unseen_mass": sum(config.unseen_mass),
        "num_seen": config.num_seen,
        "num_unseen": len(config.unseen_mass),
        "early_steps": config.early_steps,
    }
    log_reference, tables = np.log(data["reference"]), {}
    for learner, paths, norm in zip(LEARNERS, data["log_policy"], data["gradient_norm"], strict=True):
        # log pi(U)/pi_ref(U), (bandits, R).
        growths = np.log(np.exp(paths[:, :, config.num_seen :]).sum(axis=2) / sum(config.unseen_mass))
        columns = shared | {"early": growths[:, 0], "growth": growths[:, 1]}
        logs = paths[:, 1]
        if learner == "dpo":
            pairs = zip(data["outcomes"], data["reward"], strict=True)
            curvatures = [label_curvature.least_curvature(wins[None], reward[None]) for wins, reward in pairs]
            allowed = residuals.of_descent(norm, config.beta**2 * np.array(curvatures))
            # And the rounding of every step.
            allowed += 2.0**-52 * np.abs(logs).max() * config.num_steps
            columns["predicted"] = data["growth"]
        else:
            allowed = residuals.of_penalised_descent(norm, config.penalty, logs, log_reference)
            divergence = (np.exp(logs) * (logs - log_reference)).sum(axis=1)
            columns |= {"penalty": config.penalty, "divergence": divergence}
        least = (logs - log_reference)[:, config.num_seen :].min(axis=1)
        tables[learner] = Table(columns | {"allowed": allowed, "gradient_norm": norm, "least": least})
    return tables


def _train(config: Config) -> dict[str, np.ndarray]:
    """Per bandit: reference, reward, outcome law, the closed forms; by learner what it ends at, and has early on."""
    reference, reward = _draw(config)
    seen = np.arange(reward.shape[1])[None] < config.num_seen
    law = np.triu(seen[0][:, None] & seen[0][None, :], 1).astype(float)
    env = bl.instances.tabular(np.zeros(seen.shape), beta=config.beta)
    # The largest eigenvalues of the two Hessians are at most these.
    curvature = config.beta**2 * config.num_seen / (4 * law.sum()) + np.array([0.0, config.penalty / 4])
    settings = ([0.0, config.penalty], 1 / curvature, [config.early_steps, config.num_steps])
    arrays = (jnp.asarray(value) for value in (reference, reward, law[None] / law.sum(), seen, *settings))
    found = {name: np.asarray(value) for name, value in _ends(env, *arrays).items()}
    failed = {f"{name}: not converged": found["gradient_norm"][k] > TOLERANCE for k, name in enumerate(LEARNERS)}
    return found | {"reference": reference, "reward": reward} | failures(failed)


def _draw(config: Config) -> tuple[np.ndarray, np.ndarray]:
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
        bandit = replace(env, log_reference=logs, given_reward=rewards[None])
        wins = bl.preferences.outcome_law(bandit, law)
        log_policies, norms = descents.from_reference(bandit, wins, penalties, step_sizes, record_at)
        condition = gradient_limits.unseen_growth(bandit, rewards[None], seen)[0]
        limit = gradient_limits.dpo_flow_limit(bandit, rewards[None], seen)[0]
        mass = [jnp.sum(jnp.where(seen[0], 0.0, jnp.exp(table))) for table in (limit, logs[0])]
        return log_policies[:, :, 0], norms, condition, jnp.log(mass[0] / mass[1]), wins[0]

    found = jax.vmap(one, out_axes=(1, 1, 0, 0, 0))(reference, reward)
    return dict(zip(("log_policy", "gradient_norm", "condition", "growth", "outcomes"), found, strict=True))


def check(tables: dict[str, Table]) -> list[Check]:
    """DPO's growth and its sign, HyPO's, and the references that are uniform on the seen actions."""
    dpo, hypo = tables["dpo"], tables["hypo"]
    checks = [upper("descents that did not converge", 0.0, _failed(tables))]
    for learner, rows, column, name in (
        ("DPO", dpo, "predicted", "log of the growth of the unseen mass, closed form"),
        ("HyPO", hypo, "divergence", "log of the growth of the unseen mass = KL(pi||pi_ref)"),
    ):
        share = np.abs(rows["growth"] - rows[column]) / rows["allowed"]
        checks.append(upper(f"{learner}: {name}, worst of {len(rows)}, over what is allowed", 1.0, share.max()))
        drawn = rows.where(reference=RANDOM)
        means = [float(np.abs(drawn[own]).mean()) for own in (column, "growth")]
        why = "gradient over curvature (DPO), gradient over lambda pi(u) (HyPO), rounding"
        checks.append(identity(f"{learner}: {name}, mean size", *means, atol=float(drawn["allowed"].max()), why=why))
    signs = (dpo["growth"] > 0) != (dpo["condition"] < 0)
    decided = np.abs(dpo["growth"]) > dpo["allowed"]
    claim = f"DPO: bandits of {len(dpo)} whose unseen mass grows against the condition, or shrinks against it"
    checks.append(upper(claim, 0.0, (signs & decided).sum()))
    drawn, even = dpo.where(reference=RANDOM), dpo.where(reference=UNIFORM)
    for word, number in (("grows", (drawn["growth"] > 0).sum()), ("shrinks", (drawn["growth"] < 0).sum())):
        checks.append(lower(f"DPO, {len(drawn)} random references: bandits whose unseen mass {word}", 1.0, number))
    claim = f"DPO, reference uniform on the seen actions: largest growth of the unseen mass, {len(even)} bandits"
    checks.append(upper(claim, 0.0, even["growth"].max()))
    claim = f"HyPO at its stationary point: smallest growth of any unseen action, {len(hypo)} bandits"
    checks.append(lower(claim, 0.0, hypo["least"].min()))
    # At pi_ref the penalty has no gradient: HyPO starts as DPO does.
    shrunk, after = (hypo.where(reference=RANDOM)["early"] < 0).sum(), f"HyPO after {hypo['early_steps'][0]} steps"
    claim = f"{after}, {len(drawn)} random references: bandits whose unseen mass is below that of pi_ref"
    return [*checks, lower(claim, 1.0, shrunk)]


def _failed(tables: dict[str, Table]) -> int:
    return sum((rows["gradient_norm"] > TOLERANCE).sum() for rows in tables.values())


def plot(tables: dict[str, Table]):
    """Growth of the unseen mass against the condition."""
    made, ax = plotting.figure(height=2.9)
    dpo, drawn, hypo = tables["dpo"], tables["dpo"].where(reference=RANDOM), tables["hypo"].where(reference=RANDOM)
    dark = plotting.shades("dpo", 3)[-2]
    opened = {"marker": "o", "markersize": 5, "markerfacecolor": "none", "markeredgewidth": 0.5, "color": dark}
    for rows, label, look in (
        (hypo, "HyPO", {"marker": plotting.MARKERS["hypo"], "markersize": 3, "color": plotting.COLORS["hypo"]}),
        (dpo.where(reference=UNIFORM), "DPO, reference uniform on $S$", opened),
        (drawn, "DPO", {"marker": plotting.MARKERS["dpo"], "markersize": 2.5, "color": plotting.COLORS["dpo"]}),
    ):
        ax.plot(rows["condition"], rows["growth"], linestyle="", label=label, **look)
    mass = float(dpo["unseen_mass"][0])
    grid = np.linspace(dpo["condition"].min(), dpo["condition"].max(), 200)
    plotting.theory(ax, grid, -np.log(mass + (1 - mass) * np.exp(grid)), "dpo")
    for line in (ax.axhline, ax.axvline):
        line(0.0, color="#888888", linewidth=0.6, zorder=1, gid="decoration")  # no growth; the condition's edge
    ax.set_ylabel(r"$\log\,\pi(U)/\pi_{\mathrm{ref}}(U)$ [nats]")
    ax.set_xlabel(r"$\log\,\Sigma_S\,\pi_{\mathrm{ref}}(a)\,e^{(r_a-\bar r_S)/\beta}/\pi_{\mathrm{ref}}(S)$ [nats]")
    ax.set_title("DPO's unseen mass goes either way,\nby the sign of the condition; HyPO's only up")
    plotting.legend(made, columns=2, theory_label="closed form, DPO")
    failed = int(_failed(tables))
    plotting.caption(
        made,
        f"{len(drawn)} random bandits, {dpo['num_seen'][0]} seen actions $S$ and {dpo['num_unseen'][0]} unseen $U$ "
        f"(mass {mass:g} under $\\pi_{{\\mathrm{{ref}}}}$), tabular softmax, population labels, gradient descent. "
        f"DPO's unseen mass grows in {(drawn['growth'] > 0).mean():.0%} of them, HyPO's ($\\lambda$ = "
        f"{hypo['penalty'][0]:g}) in {(hypo['least'] > 0).mean():.0%}, after {hypo['early_steps'][0]} steps in "
        f"{(hypo['early'] > 0).mean():.0%}.{plotting.only_if(failed, ' Not converged: {}.')}",
    )
    return made


PRESETS = {
    "smoke": Config(num_bandits=64, num_uniform=16),
    "default": Config(),
    "paper": Config(num_bandits=7680, num_uniform=2560),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
