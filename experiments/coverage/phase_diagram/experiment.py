"""On-policy DPO over batch size and initial coverage: where it reaches the floor, and where the theory says it must."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

import banditlab as bl
from banditlab import guarantees
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.phase_diagram import checks, figure, runs
from experiments.coverage.phase_diagram.runs import SUMMED

CLAIM = (
    "On-policy DPO on fresh batches has a batch threshold that grows with the initial coverage; above Proposition 4's, "
    "written with all its constants, it succeeds at least as often as guaranteed."
)
NOT_SUMMED = np.inf
SHARES = ("success", "absorbed", "certified", "certified_success", "sure", "sure_success")


@dataclass(frozen=True)
class Config:
    """Batch sizes and initial coverages of each instance; arms are regularisers, all of them on the chain alone.

    few_dials: the initial coverages of the regularised arms.
    """

    num_rounds: int = 8
    num_seeds: int = 1024
    arms: tuple[tuple[str, str], ...] = (
        ("chain", "none"), ("needle", "none"), ("staircase", "none"),
        ("chain", "ridge_previous"), ("chain", "ridge_reference"), ("chain", "cap"),
    )  # fmt: skip
    dials: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "chain": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0),
            "needle": (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
            "staircase": (0.0, 0.6, 1.2, 1.8, 2.4, 3.0),
        }
    )
    decades: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {
            "chain": (1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0),
            "needle": (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0),
            "staircase": (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 6.0, 8.0, 9.0, 10.0, 12.0),
        }
    )
    few_dials: tuple[float, ...] = (0.0, 2.0, 4.0)
    largest_exact: int = 100


def run(config: Config, shards: Shards) -> Table:
    shards.expect(len(config.arms) + len(SUMMED))
    rows, failures = [], {}
    for instance, regulariser in config.arms:
        dials = config.dials[instance] if regulariser == "none" else config.few_dials
        envs = [runs.INSTANCES[instance](dial) for dial in dials]
        batches = [float(round(10**decade)) for decade in config.decades[instance]]
        summed = [int(n) for n in batches if n <= config.largest_exact]
        seeds = config.num_seeds
        compute = partial(runs.simulate, envs, batches, config.num_rounds, seeds, regulariser)
        data = shards.get(f"{instance}-{regulariser}", (0, seeds), compute)
        failures |= {f"{instance}-{regulariser}-{k[7:]}": int(v) for k, v in data.items() if k.startswith("failed_")}
        exact = {}
        if instance == "chain" and regulariser in SUMMED:
            compute = partial(runs.exact, dials, summed, config.num_rounds, regulariser)
            exact = shards.get(f"exact-{regulariser}", (0, 1), compute)
        for i, (dial, env) in enumerate(zip(dials, envs, strict=True)):
            facts = _facts(env)
            for j, n in enumerate(batches):
                row = {"instance": instance, "regulariser": regulariser, "dial": dial, "num_pairs": n, "seeds": seeds}
                row |= {"rounds": config.num_rounds, "trivial": _trivial(env, n)} | facts
                row["guarantee"] = guarantees.success_probability(env, n, config.num_rounds, runs.FACTOR)
                row |= {f"{name}{end}": data[f"{name}{end}"][i, j] for name in (*SHARES, "rate") for end in ("", "_se")}
                known = j < len(summed) and exact
                for name in ("success", "absorbed"):
                    row[f"exact_{name}"] = exact[name][i, j] if known else NOT_SUMMED
                rows.append(row)
    return Table.from_rows(rows, meta={"failures": failures})


def _facts(env: bl.Environment) -> dict[str, float]:
    """Candidate thresholds of an initial policy."""
    start = bl.samplers.initial(env, env.log_initial)
    return {
        "threshold": float(bl.theory.batch_threshold(env, guarantees.initial_distance(env))),
        "price": float(bl.theory.label_price(env, start)),
        "coverage": float(bl.coverage.operator(env, env.log_initial)),
        "leverage": float(bl.theory.leverage(env, start)),
    }


def _trivial(env: bl.Environment, num_pairs: float) -> bool:
    """Whether pi_0 itself counts as a success at so few labels."""
    allowed = runs.FACTOR * runs.floor(env) / num_pairs
    return float(bl.metrics.kl_target(env, env.log_initial)) <= allowed


EXPERIMENT = Experiment(
    name="phase_diagram",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(
            num_seeds=128,
            num_rounds=6,
            arms=(("chain", "none"), ("chain", "cap")),
            dials={"chain": (0.0, 4.0)},
            few_dials=(0.0, 4.0),
            decades={"chain": (1.0, 1.5, 3.0, 6.0)},
        ),
        "default": Config(),
        "paper": Config(num_seeds=10240),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
