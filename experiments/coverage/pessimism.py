"""The Zhu-Jordan-Jiao instance: greedy maximum likelihood, pessimism relative to three policies, and chi-PO."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, lower, statistics, upper
from banditlab.estimators import chi_po, pessimism
from banditlab.exact import zhu_jordan_jiao as laws
from banditlab.store import failures
from experiments.shared import row_checks

CLAIM = (
    "On the Zhu-Jordan-Jiao instance the greedy policy's expected gap tends to sigma(-1), not to 0; wide enough "
    "pessimism sends it to 0 if measured from an action that the data compare with the best one, and not otherwise."
)
GREEDY, NARROW = "greedy", "narrow"
CHI_PO = "chi_po b={:g}".format  # of a temperature
# Pessimism measured from: a_3, which data link to a_4; the uniform policy; a_1, which only the one label links to a_4.
COVERED, UNIFORM, UNCOVERED = "covered", "uniform", "uncovered"
COMPARISONS = {COVERED: np.eye(4)[2], UNIFORM: np.full(4, 0.25), UNCOVERED: np.eye(4)[0], NARROW: np.eye(4)[2]}
# Arm -> name in the figure, and whose colour and marker.
LOOKS = {
    UNCOVERED: (r"pessimistic, from $a_1$", "pessimistic"),
    "chi_po": (r"$\chi$PO", "chi_po"),
    GREEDY: ("greedy MLE", "offline"),
    UNIFORM: ("pessimistic, from uniform", "pessimistic"),
    COVERED: (r"pessimistic, from $a_3$", "pessimistic"),
}
COLUMNS = {
    "*": {
        "arm": "greedy; pessimism by what it is measured from (narrow: covered, less width); chi_po b=temperature",
        "gap": "r*(a_4) - E_pi r*, expected over data sets [reward]",
        "deviation": "standard deviation over data sets of that gap, by summation [reward]",
    },
    "simulated": {
        "max_norm": "cap on the norm of the likelihood fit",
        "width": "width of the ellipsoid of every pessimistic arm but the narrow one",
        "ridge": "ridge of the Gram matrix that makes the ellipsoid",
        "failed": "likelihood fits that did not converge at this number of labels [runs]",
        "unlike_greedy": "share of data sets on which the arm's gap differs from the greedy policy's",
        "exact": "predicted gap, by summation over all outcomes of the labels [reward]",
    },
}


@dataclass(frozen=True)
class Config:
    """Labels simulated, and labels of the exact curves; the estimators' settings. The instance fixes beta = 1.

    max_norm, the cap of the likelihood fit, exceeds ||theta*|| = 1.005; `laws.playable_widths` are between narrow and
    width. The greedy gap has relative deviation 1.65 at most: with so many seeds eight standard errors are below 5%.
    """

    labels: tuple[int, ...] = (10, 100, 1000, 2000, 10**6)
    curve: tuple[int, ...] = tuple(2 * round(10 ** (k / 5) / 2) for k in range(4, 31))
    num_seeds: int = 73_728
    max_norm: float = 2.0
    width: float = 4.0
    narrow: float = 2.0
    ridge: float = 1.0
    temperature: float = 0.5
    other_temperatures: tuple[float, ...] = (0.05, 0.1, 0.2, 1.0, 2.0)
    seed: int = 0

    def __post_init__(self) -> None:
        always, never = laws.playable_widths(self.max_norm, self.ridge)
        if not self.narrow < always or not never <= self.width * (1 + 1e-12):
            got = f"narrow = {self.narrow}, width = {self.width}"
            raise ValueError(f"narrow must be below {always:.4g}, width at least {never:.4g}; got {got}")


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """One row per arm and number of labels simulated; the exact curves; their limits."""
    shards.expect(len(config.labels))
    rows = []
    for num_labels in config.labels:
        data = shards.get(f"n={num_labels}", (0, config.num_seeds), partial(simulate, config, num_labels))
        for arm, (exact, deviation) in exact_gaps(config, num_labels).items():
            row = {"arm": arm, "num_labels": float(num_labels), "seeds": config.num_seeds}
            row |= {"max_norm": config.max_norm, "width": config.width, "ridge": config.ridge}
            row |= {"failed": int(data["not_converged"])} | statistics.mean("gap", data[arm])
            row |= statistics.mean("unlike_greedy", (np.abs(data[arm] - data[GREEDY]) > 1e-9).astype(float))
            rows.append(row | {"exact": exact, "deviation": deviation})
    curves = [{"num_labels": float(n)} | row for n in config.curve for row in _exact_rows(config, n)]
    parts = {"simulated": rows, "curves": curves, "limits": _exact_rows(config, np.inf)}
    return {part: Table.from_rows(listed) for part, listed in parts.items()}


def _exact_rows(config: Config, n: float) -> list[dict[str, str | float]]:
    return [{"arm": arm, "gap": gap, "deviation": spread} for arm, (gap, spread) in exact_gaps(config, n).items()]


def exact_gaps(config: Config, num_labels: float) -> dict[str, tuple[float, float]]:
    """Arm -> expected gap and its standard deviation, by summation; in the limit at the other temperatures too."""
    others = config.other_temperatures if np.isinf(num_labels) else ()
    temperatures = {CHI_PO(temperature): temperature for temperature in (config.temperature, *others)}
    law = laws.outcomes(num_labels, config.max_norm)
    return laws.expected_gaps(law, GREEDY, pessimists(config), config.ridge, temperatures)


def pessimists(config: Config) -> dict[str, tuple[float, np.ndarray]]:
    """Arm -> width, and what it is measured from."""
    return {arm: (config.narrow if arm == NARROW else config.width, nu) for arm, nu in COMPARISONS.items()}


def simulate(config: Config, num_labels: int) -> dict[str, np.ndarray]:
    """Arm -> gap (num_seeds,) of the policies fitted to drawn win matrices; not_converged (), a count of fits."""
    env = bl.instances.zhu_jordan_jiao()
    pairs = np.zeros((2, 1, 4, 4))  # all labels but one compare a_1 with a_2, the last compares a_2 with a_3
    pairs[0, 0, 0, 1] = pairs[1, 0, 1, 2] = 1.0
    outcome_laws = jax.vmap(lambda law: bl.preferences.outcome_law(env, law))(jnp.asarray(pairs))
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), num_labels), config.num_seeds)
    comparisons = jnp.log(jnp.asarray(np.stack(list(COMPARISONS.values()))))[:, None, :]
    widths = jnp.asarray([width for width, _ in pessimists(config).values()])
    numbers = [jnp.float64(x) for x in (config.max_norm, config.ridge, config.temperature)]
    counts = jnp.asarray([num_labels - 1.0, 1.0])
    gaps, converged = _fitted_gaps(env, keys, outcome_laws, counts, widths, comparisons, *numbers)
    missed = {"not_converged": np.asarray((~converged).sum())}
    arms = (GREEDY, *COMPARISONS, CHI_PO(config.temperature))
    return dict(zip(arms, np.asarray(gaps).T, strict=True)) | missed | failures(missed)


@jax.jit
def _fitted_gaps(env, keys, outcome_laws, counts, widths, comparisons, max_norm, ridge, temperature):
    """(num_seeds, arms) expected-reward gaps of greedy, every pessimistic arm and chi-PO; (num_seeds,) converged."""

    def one(key):
        wins = jax.vmap(bl.preferences.draw_counts)(jax.random.split(key), outcome_laws, counts).sum(axis=0)
        fitted = chi_po.fit(env, wins, temperature=temperature, max_norm=max_norm)
        params = fitted.rewards.params
        gram = pessimism.gram(env, wins, ridge)
        rewards = env.beta * jnp.einsum("xad,d->xa", env.features, params)
        bounds = jax.vmap(lambda w, nu: pessimism.lower_bound(env, params, gram, w, nu))(widths, comparisons)
        chosen = jax.vmap(lambda values: pessimism.greedy(env, values))(jnp.concatenate([rewards[None], bounds]))
        played = jnp.concatenate([chosen, fitted.log_policy[None]])
        expected = jax.vmap(lambda log_policy: bl.metrics.expected_reward(env, log_policy))(played)
        return jnp.max(env.reward) - expected, fitted.rewards.status == bl.Status.converged

    return jax.lax.map(one, keys, batch_size=8192)


def check(tables: dict[str, Table]) -> list[Check]:
    """Every arm against its exact law, in the worst place; the limits; what pessimism does and does not change."""
    simulated, limit = tables["simulated"], tables["limits"]
    most, checks = simulated["num_labels"].max(), []
    # The variance is known exactly; a sample of few failures would misjudge its own.
    simulated = Table({**simulated.columns, "gap_se": simulated["deviation"] / np.sqrt(simulated["seeds"])})
    for arm in dict.fromkeys(simulated["arm"].tolist()):
        rows = simulated.where(arm=arm)
        worst = row_checks.worst(rows, "exact", "gap", np.where(rows["deviation"] < 1e-12, np.inf, rows["gap_se"]))
        claim = f"expected gap, {arm}, n = {rows['num_labels'][worst]:.0f} (the worst of {len(rows)})"
        checks.append(row_checks.at(claim, rows, "exact", "gap", worst))
    why = "0.1 P(theta_hat_2 on the wrong side), summed exactly"
    for arm in (GREEDY, NARROW, UNIFORM, UNCOVERED):
        row = simulated.where(arm=arm, num_labels=most)
        allowance = abs(row["exact"][0] - limit.where(arm=arm)["gap"][0]) + 1e-12
        name, value = ("1", 1.0) if arm == UNCOVERED else ("sigma(-1)", laws.LIMIT)
        claim = f"{arm}, n = {most:.0e}: expected gap = its limit {name}"
        checks.append(interval(claim, value, row["gap"][0], row["gap_se"][0], allowance=allowance, why=why))
    why = "rounding; P(theta_hat_2 below its width) is under 1e-30"
    claim, covered = (
        f"covered, n = {most:.0e}: expected gap = its limit 0",
        simulated.where(arm=COVERED, num_labels=most),
    )
    checks.append(upper(claim, 0.0, covered["gap"][0], allowance=1e-12, why=why))
    checks.append(upper("likelihood fits that did not converge", 0.0, simulated["failed"].max()))
    claim = "share of the data sets on which pessimism measured from the uniform policy changes the policy"
    share = simulated.where(arm=UNIFORM)["unlike_greedy"].max()
    checks.append(upper(claim, 0.0, share, why="all four bounds are lowered by the same width"))
    smallest = min(limit["gap"][np.char.startswith(limit["arm"], "chi_po")])
    claim = "chi-PO, smallest limit over temperatures, is not below sigma(-1)"
    why = "the two outcomes' rewards are images of each other under a_1 <-> a_4, a_2 <-> a_3"
    return [*checks, lower(claim, laws.LIMIT, smallest, why=why)]


def plot(tables: dict[str, Table]):
    """Expected gap against labels: exact curves, simulated points."""
    made, ax = plotting.figure(height=2.9)
    simulated = tables["simulated"]
    temperature_arm = next(arm for arm in simulated["arm"].tolist() if arm.startswith("chi_po"))
    shades = plotting.shades("pessimistic", 3)
    own: dict[str, tuple[str, str]] = {
        UNCOVERED: (shades[0], "X"),
        UNIFORM: (shades[1], "s"),
        COVERED: (shades[2], "v"),
    }
    for name, (label, key) in LOOKS.items():
        color, marker = own.get(name, (plotting.COLORS[key], plotting.MARKERS[key]))
        arm = temperature_arm if name == "chi_po" else name
        rows, points = tables["curves"].where(arm=arm), simulated.where(arm=arm)
        look = {"color": color, "label": label, "markeredgewidth": 0.8}
        look |= {"markerfacecolor": "none", "markersize": 6.5} if name == UNIFORM else {"markersize": 3.5}
        bars = plotting.NUM_ERRORS * points["gap_se"]
        ax.errorbar(points["num_labels"], points["gap"], bars, fmt=marker, **look)
        plotting.theory(ax, rows["num_labels"], rows["gap"], color=color)
    ax.axhline(laws.LIMIT, color="#888888", linewidth=0.6, zorder=1, gid="labelled")  # by the text beside it
    ax.annotate(r"$\sigma(-1)$", (3e4, laws.LIMIT), (0, -9), textcoords="offset points", fontsize=7, ha="center")
    ax.set(xscale="log", xlabel="labels $n$", ylabel=r"E[$r^*(a_4)-r^*(\mathrm{played})$]", ylim=(-0.04, 1.1))
    ax.set_title("Pessimism is as good as the policy\nit is measured from")
    plotting.legend(made, theory_label="exact law")
    fixed = {name: simulated[name][0] for name in ("seeds", "max_norm", "width", "ridge")}
    plotting.caption(
        made,
        f"Zhu-Jordan-Jiao instance, $n-1$ labels on $(a_1, a_2)$, one on $(a_2, a_3)$: means over {fixed['seeds']:,} "
        f"data sets. {plotting.BARS} Likelihood fit in the ball of radius {fixed['max_norm']:g}; greedy and "
        f"pessimistic policies are deterministic; width {fixed['width']:g}, ridge {fixed['ridge']:g}; $\\chi$PO "
        f"(tabular) at temperature {temperature_arm.split('=')[1]} around the uniform reference."
        + plotting.only_if(simulated["failed"].max(), " Fits that did not converge: {}."),
    )
    return made


PRESETS = {
    "smoke": Config(labels=(10, 10**6), curve=(10, 100, 10_000), num_seeds=8192),
    "default": Config(),
    "paper": Config(num_seeds=737_280),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
