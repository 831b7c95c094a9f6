"""Proposition 5 under every offline estimator: the Bayes risk never falls below it; the likelihood's constant."""

from dataclasses import dataclass
from functools import partial

import banditlab as bl
from banditlab.claims import statistics
from banditlab.claims.experiment import Experiment
from banditlab.store import Shards, Table
from experiments.coverage.offline_lower_bound import checks, figure, laws, runs
from experiments.coverage.offline_lower_bound.runs import BAYES, CENTRE, ESTIMATORS, PRIOR

CLAIM = (
    "No offline estimator's Bayes risk falls below Proposition 5's bound (van Trees); maximum likelihood attains the "
    "local asymptotic minimax constant C_F(pi_0)/N."
)
INSTANCES = {
    "staircase": partial(bl.instances.staircase, num_stairs=3, step=0.5, start=1.0),
    "chain": partial(bl.instances.chain, target=0.5, start=-1.0),
}


@dataclass(frozen=True)
class Config:
    """Half-width r of the box, labels N and draws of (theta*, data) of the curves; settings of the estimators.

    large: seeds per instance at large_pairs labels. N ||theta_hat - theta*||^2 tends to g'V*g (I6), of relative
    deviation sqrt(2 tr S^2)/tr S <= sqrt 2: so many that eight standard errors are below 5%.
    """

    radius: float = 0.5
    labels: tuple[int, ...] = (10, 40, 160, 640, 2560, 10_240, 163_840)
    block: int = 4096
    large_pairs: float = 1e14
    large: tuple[tuple[str, int], ...] = (("staircase", 40_960), ("chain", 57_344))
    ridge: float = 1.0
    width: float = 1.0
    temperature: float = 1.0
    num_blocks: int = 1
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Bayes risks by instance, estimator and N; then N times the risk at large N, at the centre and under the prior."""
    shards.expect(2 * len(config.large))
    rows = []
    for instance, num_seeds in config.large:
        env = INSTANCES[instance]()
        draws = config.block * config.num_blocks
        data = shards.get(f"{instance}-bayes", (0, draws), partial(runs.bayes_risks, config, env))
        for place, num_pairs in enumerate(config.labels):
            setting = {"kind": BAYES, "instance": instance, "num_pairs": float(num_pairs), "seeds": draws}
            setting |= {"bound": float(bl.theory.offline_lower_bound(env, num_pairs, config.radius))}
            for name in ESTIMATORS:
                row = setting | {"estimator": name, "failed": int(data[f"failed_{name}"][place])}
                row |= {"margins_off": int(data["failed_margins"][place]) if name == "chi_po" else 0}
                row |= statistics.mean("risk", data[name][place])
                rows.append(row | statistics.mean("predicted", data["price"][place] / num_pairs))
        data = shards.get(f"{instance}-large", (0, num_seeds), partial(runs.large_risks, config, env, num_seeds))
        setting = {"instance": instance, "num_pairs": config.large_pairs, "bound": 0.0}
        predicted_risks = {
            "mle": float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial))),
            "pessimistic": laws.pessimistic_price(env, config.width),
            "chi_po": laws.chi_po_limit(env, config.temperature),
        }
        for name, predicted in predicted_risks.items():
            row = setting | {"kind": CENTRE, "estimator": name, "seeds": len(data[name])}
            row |= {"failed": int(data[f"failed_{name}"]), "margins_off": 0} | statistics.mean("risk", data[name])
            rows.append(row | {"predicted": predicted, "predicted_se": 0.0})
        row = setting | {"kind": PRIOR, "estimator": "mle", "seeds": num_seeds, "margins_off": 0}
        row |= {"failed": int(data["failed_prior"])}
        rows.append(row | statistics.mean("risk", data["prior"]) | {"predicted": 1.0, "predicted_se": 0.0})
    return Table.from_rows(
        rows, meta={"failures": {"fits or projections not converged": sum(r["failed"] for r in rows)}}
    )


EXPERIMENT = Experiment(
    name="offline_lower_bound",
    claim=CLAIM,
    family="coverage",
    presets={
        "smoke": Config(labels=(10, 640, 163_840), block=512, large=(("chain", 2048),)),
        "default": Config(),
        "paper": Config(num_blocks=10, large=(("staircase", 409_600), ("chain", 573_440))),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
)
