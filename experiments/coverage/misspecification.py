"""Labels that no reward in the class explains: where each sampler ends, and what is left of the theory."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import plotting, policies
from banditlab.claims import Check, Experiment, Shards, Table, statistics
from banditlab.exact import pseudo_true
from banditlab.store import failures
from experiments.shared import bands, equal_labels, row_checks

CLAIM = (
    "A wrong temperature moves every sampler to the same, computable policy; label flips and intransitive noise move "
    "each sampler to its own pseudo-true policy, with the sandwich in place of C_F as its constant."
)
SAMPLERS = {"offline": "initial", "uniform": "uniform", "on_policy": "on_policy"}
NOISES = {
    "flips": (pseudo_true.flipped, "share of labels flipped"),
    "temperature": (pseudo_true.tempered, "$\\log_2$ of the labeller's temperature, right at 0"),
    "cycles": (pseudo_true.cyclic, "strength of the cycles"),
}
COLUMNS = {
    "*": {
        "noise": "what is wrong with the labeller: flips of labels, its temperature, cycles of preferences",
        "strength": "share of labels flipped; log2 of the labeller's temperature; logit added along a cycle",
        "sampler": "where the pairs come from, by name",
    },
    "ends": {
        "num_stairs": "stairs of the environment, one fewer than its actions",
        "pseudo_true_kl": "KL(pi*||pi) at the policy where infinitely many labels a round lead [nats]",
        "remainder": "twice the KL that n labels of a round from pi_0 x pi_0 leave without noise, C_F/(2n) with "
        "the label price C_F [nats]",
        "kl": "KL(pi*||pi) after all rounds, mean over seeds [nats]",
    },
    "spread": {
        "sandwich": "tr(V A^-1 B A^-1), A the Hessian of a label's loss, B the score's second moment, "
        "V the features' covariance under the pseudo-true policy",
        "spread": "labels times the squared distance of the fit from the pseudo-true parameter in the norm of V, "
        "mean over seeds",
    },
}


@dataclass(frozen=True)
class Config:
    """A staircase, and how strong each kind of noise is; so many labels that only the bias is left."""

    num_stairs: int = 4
    step: float = 0.5
    start: float = 1.0
    beta: float = 1.0
    flips: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.3)
    temperature: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    cycles: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0, 2.0)
    num_pairs: float = 1e10
    num_rounds: int = 8
    num_seeds: int = 256
    sandwich_seeds: int = 32768


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """ends: one row per kind of noise, strength and sampler. spread: of offline labels with the last share of flips."""
    env = bl.instances.staircase(config.num_stairs, config.step, config.start, config.beta)
    statistical = float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))) / config.num_pairs
    shards.expect(len(NOISES) + 1)
    rows = []
    for noise in NOISES:
        strengths = getattr(config, noise)
        tables = [win_probs(env, noise, strength) for strength in strengths]
        data = shards.get(noise, (0, config.num_seeds), partial(_ends, env, tables, config))
        for i, (strength, table) in enumerate(zip(strengths, tables, strict=True)):
            for j, sampler in enumerate(SAMPLERS):
                row = {"noise": noise, "strength": strength, "sampler": sampler, "num_stairs": config.num_stairs}
                row |= {"seeds": config.num_seeds, "num_pairs": config.num_pairs}
                truth = pseudo_true_params(env, table, sampler, config.num_rounds)
                row |= {"pseudo_true_kl": _kl_target(env, truth), "remainder": statistical}
                rows.append(row | statistics.mean("kl", data["kl"][i, j]))
    return {"ends": Table.from_rows(rows), "spread": Table.from_rows([_spread(env, config, shards)])}


def win_probs(env: bl.Environment, noise: str, strength: float) -> np.ndarray:
    """P(i beats j), (S, A, A)."""
    return NOISES[noise][0](np.asarray(bl.preferences.reward_gaps(env)), strength)


def pseudo_true_params(env: bl.Environment, win_probs: np.ndarray, sampler: str, num_rounds: int) -> np.ndarray:
    """theta after num_rounds of infinitely many labels: the fixed sampler's minimiser, or the on-policy recursion.

    In NumPy, as what is compared with it is in JAX.
    """
    features, start = np.asarray(env.features), np.asarray(env.target_params)
    scores = np.zeros(features.shape[:2]) if sampler == "uniform" else np.asarray(env.log_initial)
    context_probs, log_base = np.asarray(env.context_probs), np.asarray(env.log_base)
    rounds = num_rounds if sampler == "on_policy" else 1
    return pseudo_true.recursion(features, float(env.beta), win_probs, context_probs, scores, log_base, start, rounds)


def _kl_target(env: bl.Environment, theta: np.ndarray) -> float:
    """E_x KL(pi* || pi_theta), in NumPy."""
    target = np.asarray(env.log_reference + env.reward / env.beta)
    other = np.asarray(env.log_base) + np.asarray(env.features) @ theta
    return pseudo_true.mean_kl(np.asarray(env.context_probs), target, other)


def _spread(env: bl.Environment, config: Config, shards: Shards) -> dict[str, float | str]:
    """n ||theta_hat - theta_dagger||^2 in the norm of V(pi_dagger), offline labels with flips; and its prediction."""
    strength = config.flips[-1]
    table = win_probs(env, "flips", strength)
    # For labels from pi_0 x pi_0.
    features, beta, start = np.asarray(env.features), float(env.beta), np.asarray(env.target_params)
    law = np.asarray(bl.samplers.initial(env, env.log_initial))
    truth = pseudo_true.minimiser(features, beta, table, law, start)
    norm = np.asarray(policies.feature_covariance(env, env.log_policy(jnp.asarray(truth))))
    predicted = float(np.trace(norm @ pseudo_true.sandwich(features, beta, table, law, truth)))
    data = shards.get("sandwich", (0, config.sandwich_seeds), partial(_offline_params, env, table, config))
    error, labels = data["params"] - truth, config.num_pairs * config.num_rounds
    square = labels * np.einsum("si,ij,sj->s", error, norm, error)
    row = {"noise": "flips", "strength": strength, "sampler": "offline", "seeds": config.sandwich_seeds}
    return row | {"labels": labels, "sandwich": predicted} | statistics.mean("spread", square)


def _ends(env: bl.Environment, tables: list[np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """kl (strengths, samplers, seeds) after all rounds."""
    run = _simulate(env, tables, list(SAMPLERS), config, config.num_seeds)
    kl = run.metrics["kl_target"][..., -1].reshape(len(tables), len(SAMPLERS), config.num_seeds)
    return {"kl": kl} | failures(run.failures)


def _offline_params(env: bl.Environment, table: np.ndarray, config: Config) -> dict[str, np.ndarray]:
    """params (seeds, d), the fit to all labels, drawn from pi_0 x pi_0."""
    run = _simulate(env, [table], ["offline"], config, config.sandwich_seeds)
    return {"params": run.params[0, :, -1]} | failures(run.failures)


def _simulate(env: bl.Environment, tables: list[np.ndarray], samplers: list[str], config: Config, seeds: int) -> bl.Run:
    """One program: samplers and labellers differ in numbers alone."""
    design = jax.jit(bl.designs.joint)(env)
    algorithms = []
    for table in tables:
        for sampler in samplers:
            law, labeller = equal_labels.mixture(design, {SAMPLERS[sampler]: 1.0}), bl.preferences.from_table(table)
            pooled = sampler != "on_policy"
            algorithms.append(bl.algorithms.dpo(law, config.num_pairs, labeller=labeller, pooled=pooled))
    return bl.simulate_grid(
        algorithms, [env], num_rounds=config.num_rounds, num_seeds=seeds, metrics=("kl_target", "existence")
    )


def check(tables: dict[str, Table]) -> list[Check]:
    """Each kind of noise and sampler where its end is worst predicted; and the sandwich."""
    checks, (spread,) = [], (tables["spread"],)
    for noise in NOISES:
        for sampler in SAMPLERS:
            rows = tables["ends"].where(noise=noise, sampler=sampler)
            worst = row_checks.worst(rows, "pseudo_true_kl", "kl", 4 * rows["kl_se"] + rows["remainder"])
            strength, remainder = (rows[name][worst] for name in ("strength", "remainder"))
            claim = f"{noise}, {sampler}: KL(pi*||pi_K) at the pseudo-true policy, strength {strength:g}"
            claim += f" (the worst of {len(rows)})"
            why = "twice C_F(pi_0)/(2n): the statistical part"
            checks.append(row_checks.at(claim, rows, "pseudo_true_kl", "kl", worst, allowance=remainder, why=why))
    claim = f"offline, {spread['strength'][0]:g} flipped: n ||theta_hat - theta_dagger||^2 = tr(V A^-1 B A^-1)"
    return [*checks, row_checks.at(claim, spread, "sandwich", "spread")]


def plot(tables: dict[str, Table]):
    """KL that is left against the strength of the noise, a panel per kind."""
    ends, (spread,) = tables["ends"], (tables["spread"],)
    made, axes = plotting.figure(1, 3, width=plotting.PAGE_WIDTH, height=2.5)
    # The axis shows the temperature itself.
    labels = {noise: label for noise, (_, label) in NOISES.items()} | {"temperature": "labeller's temperature"}
    titles = {
        "flips": "Flipped labels: each sampler\nends at a policy of its own",
        "temperature": "Wrong temperature: all end\nat the same policy",
        "cycles": "Cycles: each sampler ends\nat a policy of its own",
    }
    for ax, noise in zip(axes, NOISES, strict=True):
        for place, sampler in enumerate(SAMPLERS):
            rows = ends.where(noise=noise, sampler=sampler)
            strength = rows["strength"]
            step = 0.015 * np.ptp(np.append(strength, 0.0))
            x = bands.apart(strength, place, len(SAMPLERS), step)
            # At no error KL is 0, below the axis: no line crosses it.
            for side in (strength < 0, strength > 0):
                if side.any():
                    plotting.mean(ax, x[side], rows["kl"][side], rows["kl_se"][side], sampler)
                    plotting.theory(ax, x[side], rows["pseudo_true_kl"][side], sampler)
        ax.set(yscale="log", xlabel=f"{labels[noise]}\n(arms drawn apart)", title=titles[noise])
    axes[0].set_ylabel(r"KL($\pi^*\|\pi$) left [nats]")
    temperatures = np.unique(ends.where(noise="temperature")["strength"])
    axes[1].set_xticks(whole := np.unique(np.append(np.round(temperatures), 0)), [f"{2.0**power:g}" for power in whole])
    plotting.legend(made, columns=4, theory_label="pseudo-true policy")
    ratio, error = (spread[name][0] / spread["sandwich"][0] for name in ("spread", "spread_se"))
    plotting.caption(
        made,
        f"Staircase, {ends['num_stairs'][0]} stairs, linear softmax: means over {ends['seeds'][0]:,} seeds at "
        f"{plotting.number(ends['num_pairs'][0])} labels a round. {plotting.BARS} On-policy fits the last batch, "
        r"others all. A right temperature is 1 and leaves no KL; cycles: $\sigma$(gap $\pm$ strength), "
        rf"the sign by the parity of $i-j$. Offline, {spread['strength'][0]:.0%} flipped: "
        rf"$n\|\hat\theta-\theta_\dagger\|^2$ over the sandwich's trace: "
        rf"{ratio:.3f} $\pm$ {plotting.NUM_ERRORS * error:.3f}.",
    )
    return made


PRESETS = {
    "smoke": Config(
        num_stairs=2, num_rounds=3, flips=(0.2,), temperature=(1.0,), cycles=(0.5,), num_seeds=32, sandwich_seeds=256
    ),
    "default": Config(),
    "paper": Config(num_seeds=2560, sandwich_seeds=327680),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
