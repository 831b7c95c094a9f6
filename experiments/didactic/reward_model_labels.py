"""Who labels the pairs: the rewards themselves, Bradley-Terry coins, or a reward model fitted to such coins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, above, interval, statistics, upper
from banditlab.didactic import reward_model
from banditlab.didactic.problem import Problem, problem
from banditlab.didactic.settings import Settings
from banditlab.exact import reward_models as laws
from experiments.didactic.shared.plain_training import counted, trained
from experiments.didactic.shared.table_rows import rows_of

CLAIM = (
    "A reward model's error is the inverse information of its labels, and it tends to the rewards; Pref-FT on its "
    "labels ends at the law of a winner by the learned rewards: from a few hundred labels on nearly where the true "
    "rewards lead, and above Bradley-Terry labels, whose noise no number of pairs removes."
)
COLUMNS = {
    "*": {
        "labels": "labelled pairs that a reward model is fitted to [labels]",
        "num_pairs": "labelled pairs in every step of Pref-FT [labels]",
        "predicted": "E R of the law of a pair's winner by these labels, where Pref-FT tends to [reward]",
        "reward": "E_pi R at the end of Pref-FT, mean over seeds [reward]",
        "remaining": "what a 1/t approach has left to go from there [reward]",
    },
    "fits": {
        "error": "labels times the mean of (r_a - r_b - R_a + R_b)^2 over pairs of reference draws, r fitted",
        "error_predicted": "the same by the inverse Fisher information, for many labels",
        "agreement": "share of pairs of reference draws that the fitted rewards order as R does",
        "agreement_predicted": "the same by the normal law of the fit, for many labels",
    },
    "exact": {
        "num_actions": "actions of the bandit [actions]",
        "temperature": "of the Bradley-Terry labels [reward]",
        "labels": "labels whose expected counts are fitted [labels]",
        "distance": "norm of the fitted rewards less the centred true ones, over the temperature",
        "bound": "largest such distance that the ridge explains",
    },
    "direct": {"labeller": "larger reward wins (deterministic), else a Bradley-Terry draw of the true rewards"},
}
TRUE, NOISY, LEARNED = "deterministic", "bradley_terry", "reward_model"


@dataclass(frozen=True)
class Config:
    """A bump on 20 actions without ties; labels of the fits, and runs of Pref-FT on B states of two draws.

    checked: labels that large-sample laws are held to, by num_fits fits; the rest of `labels`, drawn only, by few_fits.
    learned: labels of the reward models that runs are trained on. exact_labels: as good as infinitely many.
    """

    peak: float = 4.3
    width: float = 2.0
    num_actions: int = 20
    temperature: float = 0.25
    labels: tuple[int, ...] = (30, 100, 300, 1000, 10_000, 100_000, 1_000_000)
    checked: tuple[int, ...] = (100_000, 1_000_000)
    num_fits: int = 4096
    few_fits: int = 512
    ridge: float = 1e-2
    exact_labels: float = 1e6
    learned: tuple[int, ...] = (30, 300)
    num_states: int = 256
    num_steps: int = 160
    learning_rate: float = 0.3
    num_seeds: int = 512
    seed: int = 0

    @property
    def bandit(self) -> Problem:
        """The bump of reward."""
        return problem(self.peak, self.width, num_actions=self.num_actions)


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Fits by number of labels, the fit of exact counts, limits, and the ends of runs; predicted from NumPy alone."""
    shards.expect(1)
    data = shards.get("all", (0, config.num_seeds), partial(train, config))
    tables = np.asarray(config.bandit.reward), np.exp(np.asarray(config.bandit.log_reference))
    parts = {"fits": _fits(config, *tables), "exact": [_exact(config, *tables)], **_runs(config, *tables, data)}
    return {part: Table.from_rows(rows) for part, rows in parts.items()}


def train(config: Config) -> dict[str, np.ndarray]:
    """reward (seeds, 2), two thirds on the way and at the end, by label mode and labels of the reward model."""
    arms = ((TRUE, 0), (NOISY, 0), *((LEARNED, count) for count in config.learned))
    return counted({f"{mode}, {count}": partial(_train, config, mode, count) for mode, count in arms})


def _train(config: Config, mode: str, count: int) -> dict[str, np.ndarray]:
    sizes = {"num_states": config.num_states, "num_samples": 2, "num_steps": config.num_steps}
    settings = Settings(learning_rate=config.learning_rate, temperature=config.temperature)
    labels = {"label_mode": mode, "reward_pairs": count or 1, "on_policy": False}
    others = {"record_at": (2 * config.num_steps // 3, config.num_steps), "settings": settings, "seed": config.seed}
    return trained("pref_ft", config.bandit, ["reward"], seeds=config.num_seeds, **sizes, **labels, **others)


def _fits(config: Config, reward: np.ndarray, probs: np.ndarray) -> Iterator[dict]:
    """Reward models on drawn labels: squared error times n, and agreement with the order of the rewards."""
    generator = np.random.default_rng(config.seed)
    law = laws.win_law(reward, probs, config.temperature)
    fit = jax.jit(jax.vmap(lambda wins: reward_model.fit(wins, jnp.eye(config.num_actions), config.ridge)))
    for count in config.labels:
        many = config.num_fits if count in config.checked else config.few_fits
        learned = config.temperature * np.asarray(fit(laws.draw_wins(generator, law, count, many)))
        row = {"labels": float(count), **statistics.mean("error", count * laws.squared_error(learned, reward, probs))}
        row |= {"error_predicted": laws.error(reward, probs, config.temperature)}
        row |= statistics.mean("agreement", laws.agreements(learned, reward, probs))
        yield row | {"agreement_predicted": laws.agreement(reward, probs, config.temperature, count)}


def _exact(config: Config, reward: np.ndarray, probs: np.ndarray) -> dict:
    """The fit of expected counts: its largest error, and what the ridge explains."""
    wins = config.exact_labels * laws.win_law(reward, probs, config.temperature)
    found = np.asarray(jax.jit(reward_model.fit)(jnp.asarray(wins), jnp.eye(config.num_actions), config.ridge))
    truth = (reward - reward.mean()) / config.temperature
    bound = laws.ridge_bound(reward, probs, config.temperature, config.exact_labels, config.ridge)
    row = {"num_actions": config.num_actions, "temperature": config.temperature, "labels": config.exact_labels}
    return row | {"distance": np.linalg.norm(found - truth), "bound": bound}


def _runs(config: Config, reward: np.ndarray, probs: np.ndarray, data: dict) -> dict[str, list[dict]]:
    """E_pi R that training ends with, and the limits; reward models drawn and fitted afresh by NumPy."""
    generator = np.random.default_rng(config.seed + 1)
    law = laws.win_law(reward, probs, config.temperature)

    def limit(count: int, fits: int) -> dict[str, float]:
        learned = laws.fit(laws.draw_wins(generator, law, count, fits), config.ridge)
        return {"labels": float(count), **statistics.mean("predicted", laws.winners(learned, reward, probs))}

    def end(mode: str, count: int) -> dict[str, float]:
        ends = data[f"{mode}, {count}: reward"]
        # A 1/t approach has twice as far to go as the last third of the steps went.
        remaining = {"remaining": 2 * np.abs(ends[:, 1] - ends[:, 0]).mean()}
        return {"num_pairs": config.num_states, **statistics.mean("reward", ends[:, -1]), **remaining}

    direct = {TRUE: float(laws.winners(reward[None], reward, probs)[0])}
    direct[NOISY] = laws.noisy_winner(reward, probs, config.temperature)
    return {
        "limits": [limit(count, config.few_fits // 2) for count in config.labels],
        "direct": [{"labeller": mode, "predicted": value} | end(mode, 0) for mode, value in direct.items()],
        "learned": [limit(count, 2 * config.few_fits) | end(LEARNED, count) for count in config.learned],
    }


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The model's error and order, its limit, and where runs on each kind of label end."""
    fits, exact, direct, learned = (tables[part] for part in ("fits", "exact", "direct", "learned"))
    checks = []
    says = {"error": "n times the squared error of the learned differences", "agreement": "pairs ordered"}
    for name, what in says.items():
        for row in rows_of(fits.kept(np.argsort(fits["labels"])[-2:])):
            claim = f"reward model, {row['labels']:.0f} labels: {what}"
            checks.append(interval(claim, row[f"{name}_predicted"], row[name], row[f"{name}_se"]))
    claim = "reward model of exact counts: distance to the rewards, at most the ridge's"
    checks.append(upper(claim, exact["bound"][0], exact["distance"][0]))
    for row in (*rows_of(direct), *rows_of(learned)):
        labels = row.get("labeller") or f"reward_model of {row['labels']:.0f} labels"
        error, why = float(np.hypot(row["reward_se"], row.get("predicted_se", 0.0))), "what a 1/t approach has left"
        claim, allowance = f"Pref-FT, {labels}: E R at the end", row["remaining"]
        checks.append(interval(claim, row["predicted"], row["reward"], error, allowance=allowance, why=why))
    (noisy,), (true,) = (rows_of(direct.where(labeller=mode)) for mode in (NOISY, TRUE))
    most = max(rows_of(learned), key=lambda row: row["labels"])
    for better, what in ((most, f"a reward model of {most['labels']:.0f} labels"), (true, "true rewards")):
        error = np.hypot(better["reward_se"], noisy["reward_se"])
        claim = f"Pref-FT: E R with {what} over Bradley-Terry labels"
        checks.append(above(claim, 0.0, better["reward"] - noisy["reward"], error))
    return checks


def plot(tables: Mapping[str, Table]):
    """Error and order of the learned rewards against the labels they cost; last, where Pref-FT ends on each kind."""
    made, (*fitted, ends) = plotting.figure(1, 3, width=plotting.PAGE_WIDTH, height=2.5)
    fits, exact = tables["fits"], tables["exact"]
    for ax, name in zip(fitted, ("error", "agreement"), strict=True):
        line = plotting.mean(ax, fits["labels"], fits[name], fits[f"{name}_se"], "reference", label="reward models")
        line.set(linestyle="", marker="o")
        plotting.theory(ax, fits["labels"], fits[f"{name}_predicted"], "reference")
        ax.set(xscale="log", xlabel="labels $n$ of the reward model")
    fitted[0].set(ylim=(0, None), ylabel=r"$n$ E$(\hat r_a-\hat r_b-R_a+R_b)^2$ [reward$^2$]")
    fitted[0].set_title("a  With many labels the error is\nthe inverse information")
    fitted[1].set(ylabel="share of pairs in order", title="b  More labels order more\npairs, as predicted")
    _draw_ends(ends, tables)
    plotting.legend(made, columns=3, theory_label="by information (a, b), limit (c)")
    pairs, most = tables["learned"]["num_pairs"][0], max(tables["learned"]["labels"])
    plotting.caption(
        made,
        f"A bump of reward on {exact['num_actions'][0]} actions, Bradley-Terry labels of temperature "
        f"{exact['temperature'][0]:g} on pairs of reference draws. {plotting.BARS} a, b: pairs of reference draws, "
        f"fits of reward models; dashed: for many labels. c: Pref-FT, Adam on {pairs} labelled pairs a step; dashed: "
        f"its limit by exact sums, with learned rewards averaged over reward models; labels up to {most:g} are trained "
        "on. True and Bradley-Terry labels ask for no reward model.",
    )
    return made


def _draw_ends(ax, tables: Mapping[str, Table]) -> None:
    """Where Pref-FT ends on learned rewards, by their labels; the two other kinds of labels at the right."""
    learned, limits = tables["learned"], tables["limits"]
    shown = limits.kept(limits["labels"] <= 10 * learned["labels"].max())
    least, most = shown["labels"].min(), shown["labels"].max()
    shades = plotting.shades("pref_ft", 3)
    plotting.theory(ax, shown["labels"], shown["predicted"], color=shades[1])
    looks = ((TRUE, "true rewards", shades[2], "v", 7), (NOISY, "Bradley-Terry", shades[0], "s", 7))
    for name, says, color, marker, up in looks:
        one = tables["direct"].where(labeller=name)
        plotting.theory(ax, np.array((least, most)), one["predicted"].repeat(2), color=color)
        line = plotting.mean(ax, np.array((most,)), one["reward"], one["reward_se"], "pref_ft", label="", color=color)
        line.set_marker(marker)
        plotting.direct_label(line, says, offset=(-6, up))
    line = plotting.mean(
        ax, learned["labels"], learned["reward"], learned["reward_se"], "pref_ft", label="", color=shades[1]
    )
    line.set(linestyle="", marker="o")
    plotting.direct_label(line, "learned rewards", offset=(5, -6))
    ax.set(xscale="log", xlabel="labels $n$ of the reward model", ylabel=r"reward $E_\pi R$ of Pref-FT")
    ax.set_xticks(shown["labels"], [f"{count:g}" for count in shown["labels"]])
    ax.minorticks_off()
    ax.set_title("c  For Pref-FT a few hundred\nlabels nearly replace rewards")


PRESETS = {
    "smoke": Config(num_fits=64, few_fits=16, learned=(30,), num_seeds=16, num_steps=60),
    "default": Config(),
    "paper": Config(num_fits=65_536, few_fits=8192, learned=(30, 100, 300, 1000), num_seeds=8192),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
