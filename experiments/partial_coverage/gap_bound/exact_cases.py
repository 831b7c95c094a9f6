"""What the library measures on the bandits of `banditlab.exact.gap_bound_cases`, beside their closed forms."""

from collections.abc import Iterator
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import coverage, metrics, partial_coverage
from banditlab.exact import gap_bound_cases
from experiments.partial_coverage.shared.bare_bandits import bare_environment

# Column of the table -> what it is, in the words of claims and legends.
CONTEXT_COLUMNS = {
    "mean_gap": "mean gap",
    "largest_gap": "largest gap",
    "mean_bound": "bound on the mean",
    "largest_bound": "bound on the largest",
}


def sharp(steepness: tuple[float, ...], constants: tuple[float, ...]) -> Iterator[dict[str, float]]:
    for constant, reward_gap in product(constants, steepness):
        ratios = _ratios(gap_bound_cases.sharp(reward_gap, constant), "least")
        yield {"constant": constant, "reward_gap": reward_gap} | ratios


def small_balls(masses: tuple[float, ...]) -> Iterator[dict[str, float | str]]:
    for mass in masses:
        without_target, without_policy = gap_bound_cases.small_ball(mass)
        yield {"left_out": "pi*", "mass": mass} | _ratios(without_target, "policy")
        yield {"left_out": "pi", "mass": mass} | _ratios(without_policy, "target")


def contexts(counts: tuple[int, ...], masses: tuple[float, ...]) -> Iterator[dict[str, float]]:
    """The uncovered context among others with pi = pi*."""
    most = max(counts)
    half = jnp.full((most, 2), jnp.log(0.5))
    rho = jnp.stack([(jnp.arange(most) < count).astype(float) / count for count in counts])
    for mass in masses:
        reference = half.at[0].set(jnp.log(jnp.array([1 - mass, mass])))
        found = _measure_contexts(reference, half, rho)
        gap, bound = gap_bound_cases.uncovered(mass)
        for place, count in enumerate(counts):
            row = {"contexts": float(count), "mass": mass}
            exact = (gap / count, gap, float(bound / np.sqrt(count)), bound)
            for name, values, predicted in zip(CONTEXT_COLUMNS, found, exact, strict=True):
                row |= {name: float(values[place]), f"{name}_predicted": predicted}
            yield row


@jax.jit
def _measure_contexts(reference, log_policy, rho):
    """Mean gap, largest gap, and the bounds on both, each (len(rho),), for laws rho (., S) over the contexts."""

    def one(weights):
        env = bare_environment(weights, reference, jnp.zeros_like(reference), jnp.ones(()))
        constant = partial_coverage.least_constant(env, reference, log_policy)
        errors = partial_coverage.squared_errors(env, reference, partial_coverage.implicit_reward(env, log_policy))
        gaps = partial_coverage.gaps(env, log_policy)
        found = [
            reduce(env, x) for x in (gaps, errors) for reduce in (partial_coverage.average, partial_coverage.worst)
        ]
        return (*found[:2], *(partial_coverage.gap_bound(error, constant) for error in found[2:]))

    return jax.vmap(one)(rho)


def _ratios(case: gap_bound_cases.Case, constant: str) -> dict[str, float]:
    """gap/sqrt(C eps) and its closed form; C the least one, that of the ball which just holds pi, of that with pi*."""
    env = bl.instances.tabular([case.reward], case.log_reference[None])
    log_policy = jnp.asarray(case.log_policy[None])
    centre = {"policy": log_policy, "target": env.log_target}.get(constant)
    radius = -1.0 if centre is None else float(metrics.kl_reference(env, centre))
    return {"ratio": float(_ratio(env, log_policy, jnp.float64(radius))), "predicted": case.ratio}


@jax.jit
def _ratio(env, log_policy, radius):
    ball = coverage.kl_ball(env, jnp.maximum(radius, 0.0))
    least = partial_coverage.least_constant(env, env.log_reference, log_policy)
    error = partial_coverage.squared_error(env, env.log_reference, partial_coverage.implicit_reward(env, log_policy))
    return metrics.gap(env, log_policy) / partial_coverage.gap_bound(error, jnp.where(radius < 0, least, ball))
