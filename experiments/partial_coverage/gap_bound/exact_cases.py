"""The deterministic bandits and policies on which the bound is tried, with their closed forms."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax

import banditlab as bl
from banditlab import coverage, metrics, partial_coverage
from experiments.partial_coverage.shared.bare_bandits import bare_environment

STAR_LEFT_OUT, POLICY_LEFT_OUT = "ball without pi*", "ball without pi"
SHARP = "sharp, C = {:g}"
LEFT_OUT = (STAR_LEFT_OUT, POLICY_LEFT_OUT)
CONTEXT_CASES = ("mean gap", "largest gap", "bound on the mean", "bound on the largest")


def sharp(steepness: tuple[float, ...], constants: tuple[float, ...]) -> Iterator[tuple[str, float, float, float]]:
    """(case, L, gap/sqrt(C eps), its closed form), beta = 1: mu = (m, m, 1 - 2m), pi* ∝ (e^L, 1, 1), pi ∝ (1, L, w).

    C tends to 1/m, one of `constants`. With w = sqrt(L) e^{-L/2} the error r* - r_hat is t, -t, 0 up to a shift, t =
    (L + log L)/2, so that eps = 4 m t^2. At m = 1/2 the third action has no mass at all.
    """
    for constant in constants:
        third = float(constant > 2)
        for x in steepness:
            weights = np.array([1.0, x, third * np.sqrt(x) * np.exp(-x / 2)])
            with np.errstate(divide="ignore"):
                log_reference = np.log([1 / constant, 1 / constant, 1 - 2 / constant])
                log_policy = np.log(weights / weights.sum())
                # log w from its formula: w itself underflows.
                log_policy[2] = 0.5 * np.log(x) - x / 2 - np.log(weights.sum()) if third else -np.inf
                reward = np.array([x, 0.0, 0.0]) - np.where(np.isfinite(log_reference), log_reference, 0.0)
            env = bl.instances.tabular([reward], log_reference[None])
            normaliser = x + np.log1p((1 + third) * np.exp(-x))
            cost = -x + x * np.log(x) + weights[2] * (0.5 * np.log(x) - x / 2)
            gap = cost / weights.sum() - np.log(weights.sum()) + normaliser
            least = max(np.exp(x - normaliser), x / weights.sum())
            case = SHARP.format(constant)
            yield case, x, _ratio(env, jnp.asarray(log_policy[None]), None), gap / (np.sqrt(least) * (x + np.log(x)))


def left_out(masses: tuple[float, ...]) -> Iterator[tuple[str, float, float, float]]:
    """(case, m, gap/sqrt(C_kl(e) eps), its closed form) for balls of radius e = 0 around a reference (1 - m, m).

    The radius is that of the one policy which is pi_ref; the other has reward R = 2 log(1/m) on the rare action. With
    Z = log(1 - m + m e^R): the gap is Z - m R if pi = pi_ref, and R m e^R/(1 - m + m e^R) - Z if pi* = pi_ref. The
    bound is R sqrt(2 m (1 - m)) for both, and the ratio tends to 1/sqrt(8 m).
    """
    for mass in masses:
        reward = -2 * np.log(mass)
        # A third action of no mass, so that the program is that of the sharp family.
        reference = np.array([1 - mass, mass, 0.0])
        with np.errstate(divide="ignore"):
            log_reference = np.log(reference[None])
        tilted = log_softmax(log_reference + np.array([0.0, reward, 0.0]), axis=-1)
        normaliser = np.log1p(mass * np.expm1(reward))
        bound = reward * np.sqrt(2 * mass * (1 - mass))
        env = bl.instances.tabular([[0.0, reward, 0.0]], log_reference)
        yield (
            STAR_LEFT_OUT,
            mass,
            _ratio(env, env.log_reference, env.log_reference),
            (normaliser - mass * reward) / bound,
        )
        env = bl.instances.tabular(np.zeros((1, 3)), log_reference)
        gap = reward * np.exp(tilted[0, 1]) - normaliser
        yield POLICY_LEFT_OUT, mass, _ratio(env, jnp.asarray(tilted), env.log_target), gap / bound


def contexts(counts: tuple[int, ...], masses: tuple[float, ...]) -> Iterator[tuple[str, float, float, float, float]]:
    """(case, S, value, closed form, p): pi = (1/2, 1/2) and r* = 0 everywhere, beta = 1; pi_ref = (1 - p, p) in one.

    Its gap is D = -log 2 - log(p (1 - p))/2, its eps 2 p (1 - p) log^2((1 - p)/p), and C = 1/(2p).
    """
    most = max(counts)
    half = jnp.full((most, 2), jnp.log(0.5))
    for mass in masses:
        with np.errstate(divide="ignore"):
            reference = half.at[0].set(jnp.log(jnp.array([1 - mass, mass])))
            gap = -np.log(2) - 0.5 * np.log(mass * (1 - mass))
            error = 2 * mass * (1 - mass) * np.log((1 - mass) / mass) ** 2 if mass else np.inf
        bound = np.sqrt(error / (2 * mass)) if mass else np.inf
        rho = jnp.stack([(jnp.arange(most) < count).astype(float) / count for count in counts])
        found = _measure_contexts(reference, half, rho)
        for place, count in enumerate(counts):
            expected = (gap / count, gap, bound / np.sqrt(count), bound)
            for case, values, exact in zip(CONTEXT_CASES, found, expected, strict=True):
                yield case, count, float(values[place]), float(exact), mass


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


@jax.jit
def _ratio_of(env, log_policy, radius):
    constants = {
        True: coverage.kl_ball(env, jnp.maximum(radius, 0.0)),
        False: partial_coverage.least_constant(env, env.log_reference, log_policy),
    }
    constant = jnp.where(radius < 0, constants[False], constants[True])
    error = partial_coverage.squared_error(env, env.log_reference, partial_coverage.implicit_reward(env, log_policy))
    return metrics.gap(env, log_policy) / partial_coverage.gap_bound(error, constant)


def _ratio(env: bl.Environment, log_policy: jax.Array, centre: jax.Array | None) -> float:
    """gap/sqrt(C eps), C that of the ball which just holds `centre`, or the least one."""
    radius = -1.0 if centre is None else float(metrics.kl_reference(env, centre))
    return float(_ratio_of(env, log_policy, jnp.float64(radius)))
