"""The simulator against exact summation: the K-round law of DPO on the two-action chain."""

from dataclasses import dataclass, replace
from functools import partial

from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.foundation.exact_chain.checks import check
from experiments.foundation.exact_chain.figure import plot
from experiments.foundation.exact_chain.law_comparison import compared, exact_laws
from experiments.foundation.exact_chain.runs import simulate

CLAIM = (
    "On the two-action chain the simulated law of theta after every round is the one obtained by exact summation: "
    "its mean KL, its mass at the norm cap, its distribution function."
)


@dataclass(frozen=True)
class Config:
    """The chain, the norm cap R, and the arms (sampler, labels per round, seeds).

    The seeds are so many that eight standard errors, by exact summation too, are at most 5% of the mean KL and of
    the mass at the cap in the worst round.
    """

    target: float = 2.0
    start: float = -3.0
    max_norm: float = 3.0
    betas: tuple[float, ...] = (0.5, 1.0)
    num_rounds: int = 5
    arms: tuple[tuple[str, int, int], ...] = (
        ("on_policy", 40, 256_000), ("on_policy", 120, 163_840), ("offline", 60, 212_992)
    )  # fmt: skip
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """One row per arm, beta and round, with the exact law beside the simulated one."""
    shards.expect(len(config.arms))
    rows, failures = [], {}
    for sampler, num_pairs, num_seeds in config.arms:
        arm = f"{sampler} n={num_pairs}"
        data = shards.get(arm, (0, num_seeds), partial(simulate, config, sampler, num_pairs, num_seeds))
        failures |= {f"{arm} {name.removeprefix('failed_')}": int(n) for name, n in data.items() if name != "params"}
        for beta, params in zip(config.betas, data["params"], strict=True):
            laws = exact_laws(config, sampler, num_pairs, beta)
            wrong_laws = exact_laws(replace(config, target=1.05 * config.target), sampler, num_pairs, beta)
            for k, (law, wrong) in enumerate(zip(laws, wrong_laws, strict=True)):
                setting = {"sampler": sampler, "beta": beta, "num_pairs": num_pairs, "round": k + 1}
                known = {"target": config.target, "max_norm": config.max_norm}
                rows.append(setting | compared(params[:, k], law, wrong, **known))
    return Table.from_rows(rows, meta={"failures": failures})


EXPERIMENT = Experiment(
    name="exact_chain",
    claim=CLAIM,
    family="foundation",
    presets={
        "smoke": Config(num_rounds=2, arms=(("on_policy", 40, 32_768),)),
        "default": Config(),
        "paper": Config(arms=(("on_policy", 40, 2_560_000), ("on_policy", 120, 1_638_400), ("offline", 60, 2_129_920))),
    },
    run=run,
    check=check,
    plot=plot,
)
