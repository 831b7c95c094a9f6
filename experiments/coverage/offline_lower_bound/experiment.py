"""Proposition 5 under every offline estimator: the Bayes risk never falls below it; the likelihood's constant."""

from dataclasses import dataclass
from functools import partial

import banditlab as bl
from banditlab.claims import Experiment, Shards, Table, statistics
from experiments.coverage.offline_lower_bound import checks, figure, laws, runs

CLAIM = (
    "No offline estimator's Bayes risk falls below Proposition 5's bound (van Trees); maximum likelihood attains the "
    "local asymptotic minimax constant C_F(pi_0)/N."
)


@dataclass(frozen=True)
class Config:
    """Half-width r of the box, labels N and draws of (theta*, data) of the curves; settings of the estimators.

    large: seeds per instance at large_pairs labels. N ||theta_hat - theta*||^2 tends to g'V*g (I6), of relative
    deviation sqrt(2 tr S^2)/tr S <= sqrt 2: so many that eight standard errors are below 5%.
    """

    beta: float = 1.0
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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """Bayes risks by instance, estimator and N; then N times the risk at large N, at the centre and under the prior."""
    shards.expect(2 * len(config.large))
    rows = {"bayes_risk": [], "margins": [], "scaled_risk": [], "chi_po_bias": [], "price_ratio": []}
    for instance, num_seeds in config.large:
        env = runs.INSTANCES[instance](beta=config.beta)
        draws = config.block * config.num_blocks
        data = shards.get(f"{instance}-bayes", (0, draws), partial(runs.bayes_risks, config, env))
        for place, num_pairs in enumerate(config.labels):
            setting = {"instance": instance, "num_pairs": float(num_pairs), "seeds": draws}
            rows["margins"].append(setting | {"margins_off": int(data["margins_off"][place])})
            setting |= {"radius": config.radius, "ridge": config.ridge, "width": config.width}
            setting |= {"bound": float(bl.theory.offline_lower_bound(env, num_pairs, config.radius))}
            setting |= statistics.mean("limit", data["price"][place] / num_pairs)
            for name in runs.ESTIMATORS:
                row = setting | {"estimator": name, "failed": int(data[f"unconverged_{name}"][place])}
                rows["bayes_risk"].append(row | statistics.mean("risk", data[name][place]))
        data = shards.get(f"{instance}-large", (0, num_seeds), partial(runs.large_risks, config, env, num_seeds))
        price = float(bl.theory.label_price(env, bl.samplers.initial(env, env.log_initial)))
        for name, part, column, predicted in (
            ("mle", "scaled_risk", "scaled_risk", price),
            ("pessimistic", "scaled_risk", "scaled_risk", laws.pessimistic_price(env, config.width)),
            ("chi_po", "chi_po_bias", "bias", laws.chi_po_limit(env, config.temperature)),
            ("prior", "price_ratio", "ratio", 1.0),
        ):
            row = {"instance": instance, "num_pairs": config.large_pairs, "seeds": len(data[name])}
            row |= {"estimator": name} if part == "scaled_risk" else {}
            row |= {"failed": int(data[f"unconverged_{name}"]), "predicted": predicted}
            rows[part].append(row | statistics.mean(column, data[name]))
    return {part: Table.from_rows(listed) for part, listed in rows.items()}


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(labels=(10, 640, 163_840), block=512, large=(("chain", 2048),)),
        "default": Config(),
        "paper": Config(num_blocks=10, large=(("staircase", 409_600), ("chain", 573_440))),
    },
    run=run,
    check=checks.check,
    plot=figure.plot,
    columns={
        "*": {
            "instance": "environment, by the name of its factory",
            "num_pairs": "N, labels of one data set [labels]",
            "seeds": "independent data sets, each with its theta* where that is drawn [runs]",
            "estimator": "estimator of theta",
            "failed": "fits and projections that did not converge [runs]",
        },
        "bayes_risk": {
            "radius": "half-width r of the prior's box in the norm of V*",
            "ridge": "ridge at 0 of the estimator of that name",
            "width": "width of the ellipsoid of the pessimistic estimator",
            "bound": "Proposition 5's lower bound on the Bayes risk",
            "limit": "tr(V* H(theta*)^{-1})/N, mean over the prior: the likelihood's risk at many labels",
            "risk": "||theta_hat - theta*||^2 in V*, mean over theta* from the prior and data",
        },
        "margins": {"margins_off": "chi-PO policies whose implied margins differ from the likelihood's [runs]"},
        "scaled_risk": {
            "predicted": "limit of N times the risk at theta* = the centre of the prior [labels]",
            "scaled_risk": "N ||theta_hat - theta*||^2 in V*, theta* the centre of the prior, mean over data [labels]",
        },
        "chi_po_bias": {
            "predicted": "squared distance in V* of that softmax at the true reward, from SciPy's root",
            "bias": "||theta_hat - theta*||^2 in V* of the linear softmax nearest to chi-PO's policy, mean over data",
        },
        "price_ratio": {
            "predicted": "1: the likelihood attains its price all over the prior",
            "ratio": "N ||theta_hat - theta*||^2 over tr(V* H(theta*)^{-1}) of the likelihood, mean over the prior",
        },
    },
)
