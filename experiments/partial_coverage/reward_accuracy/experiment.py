"""An implicit reward as accurate as one likes on the reference's pairs, whose policy is as bad as one likes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import metrics, partial_coverage
from banditlab.claims import Experiment, Shards, Table
from banditlab.exact.accurate_bad_policy import predicted
from experiments.partial_coverage.reward_accuracy.checks import check
from experiments.partial_coverage.reward_accuracy.figure import plot

CLAIM = (
    "Existence: with pi_ref = (1 - p, p) and pi = (1/2, 1/2), as p -> 0 the implicit reward's error eps falls to 0 "
    "while the gap grows by (beta/2) log 10 per decade; at p = 0 eps is 0 and J = -inf."
)


@dataclass(frozen=True)
class Config:
    """Decades of p, temperatures beta, and the reward of the rare action (the other's is 0)."""

    decades: int = 16
    betas: tuple[float, ...] = (0.1, 1.0)
    rewards: tuple[float, ...] = (-1.0, 0.0, 1.0)


def run(config: Config, shards: Shards) -> Table:
    """One row per beta, reward and mass p = 10^-1, 10^-2, ... and 0; all deterministic."""
    shards.expect(1)
    measured = shards.get("all", (0, 1), partial(measure, config))
    rows = []
    for place, (beta, reward, mass) in enumerate(settings(config)):
        row = {"beta": beta, "reward": reward, "mass": mass}
        row |= {name: float(values[place]) for name, values in measured.items()}
        gap, error, bound = predicted(beta, reward, mass)
        rows.append(row | {"gap_exact": gap, "error_exact": error, "bound_exact": bound})
    return Table.from_rows(rows)


def settings(config: Config) -> Iterator[tuple[float, float, float]]:
    for beta in config.betas:
        for reward in config.rewards:
            yield from ((beta, reward, 10.0**-decade) for decade in range(1, config.decades + 1))
            yield beta, reward, 0.0


def measure(config: Config) -> dict[str, np.ndarray]:
    """objective J(pi), gap, error eps and bound sqrt(C eps) by the library, in the order of the settings."""
    rows = []
    for beta, reward, mass in settings(config):
        with np.errstate(divide="ignore"):
            log_reference = np.log([[1 - mass, mass]])
        rows.append(bl.instances.tabular([[0.0, reward]], log_reference, beta=beta))
    env = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    return {name: np.asarray(values) for name, values in _measured(env).items()}


@jax.jit
@jax.vmap
def _measured(env):
    log_policy = jnp.full((1, 2), jnp.log(0.5))
    reward = partial_coverage.implicit_reward(env, log_policy)
    error = partial_coverage.squared_error(env, env.log_reference, reward)
    constant = partial_coverage.least_constant(env, env.log_reference, log_policy)
    return {
        "objective": partial_coverage.objective(env, log_policy),
        "gap": metrics.gap(env, log_policy),
        "error": error,
        "bound": partial_coverage.gap_bound(error, constant),
    }


EXPERIMENT = Experiment(
    claim=CLAIM,
    presets={
        "smoke": Config(decades=10, betas=(1.0,)),
        "default": Config(),
        "paper": Config(decades=100, betas=(0.1, 0.3, 1.0, 3.0)),
    },
    run=run,
    check=check,
    plot=plot,
    columns={
        "reward": "true reward of the rare action; the other's is 0 [reward]",
        "mass": "p, the mass of the rare action under pi_ref",
        "bound": "sqrt(C eps), C the least constant with pi* <= C pi_ref and pi <= C pi_ref [reward]",
        "error": "eps, mean squared error of the implicit reward's differences on pairs of pi_ref [reward^2]",
        "gap": "J(pi*) - J(pi) of pi = (1/2, 1/2) by the library [reward]",
        "objective": "J(pi), the mean reward minus beta KL(pi||pi_ref) [reward]",
        "gap_exact": "closed form of gap [reward]",
        "error_exact": "closed form of error [reward^2]",
        "bound_exact": "closed form of bound [reward]",
    },
)
