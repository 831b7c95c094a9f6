"""The mass that training moves to actions without labels: DPO's goes either way, by one condition; HyPO's only up."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from experiments.partial_coverage.shared import label_curvature
from experiments.partial_coverage.unseen_mass.checks import check
from experiments.partial_coverage.unseen_mass.figure import plot
from experiments.partial_coverage.unseen_mass.runs import LEARNERS, RANDOM, UNIFORM, train

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
    data = shards.get("all", (0, number), partial(train, config))
    shared = {
        "reference": np.repeat([RANDOM, UNIFORM], [config.num_bandits, config.num_uniform]),
        "condition": data["condition"],
        "unseen_mass": sum(config.unseen_mass),
        "num_seen": config.num_seen,
        "num_unseen": len(config.unseen_mass),
        "early_steps": config.early_steps,
    }
    tables = {}
    for place, learner in enumerate(LEARNERS):
        early, logs = np.moveaxis(data["log_policy"][place], 1, 0)
        ratio = logs - np.log(data["reference"])
        own = {"penalty": config.penalty, "divergence": (np.exp(logs) * ratio).sum(axis=1)}
        columns = shared | {"early": _growth(config, early), "growth": _growth(config, logs)}
        columns |= {"predicted": data["growth"]} if learner == "dpo" else own
        columns |= {"allowed": _allowed(config, data, place), "gradient_norm": data["gradient_norm"][place]}
        tables[learner] = Table(columns | {"least": ratio[:, config.num_seen :].min(axis=1)})
    return tables


def _growth(config: Config, log_policy: np.ndarray) -> np.ndarray:
    """(bandits,) log pi(U)/pi_ref(U)."""
    return np.log(np.exp(log_policy[:, config.num_seen :]).sum(axis=1) / sum(config.unseen_mass))


def _allowed(config: Config, data: dict[str, np.ndarray], place: int) -> np.ndarray:
    """(bandits,) how far a log-probability can be from its prediction at a point with this gradient, with rounding."""
    norm, logs = data["gradient_norm"][place], data["log_policy"][place, :, -1]
    ratio = logs - np.log(data["reference"])
    if LEARNERS[place] == "hypo":  # the gradient of an unseen action is lambda pi(u) [log pi(u)/pi_ref(u) - KL]
        return (norm / config.penalty + 2.0**-50 * np.abs(ratio).max()) / np.exp(logs).min(axis=1)
    # Gradient over curvature, twice for its change on the way, twice for log pi; the rounding of every step.
    pairs = zip(data["outcomes"], data["reward"], strict=True)
    least = np.array([label_curvature.least_curvature(wins[None], reward[None]) for wins, reward in pairs])
    return 4 * norm / (config.beta**2 * least) + 2.0**-52 * np.abs(logs).max() * config.num_steps


PRESETS = {
    "smoke": Config(num_bandits=64, num_uniform=16),
    "default": Config(),
    "paper": Config(num_bandits=7680, num_uniform=2560),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
