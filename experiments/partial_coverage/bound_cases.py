"""The bandits and policies on which `gap_bound` tries the bound, with the closed forms of the deterministic ones."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, softmax

import banditlab as bl
from banditlab import coverage, metrics, partial_coverage
from experiments.partial_coverage.shared.bare_bandits import bare_environment

# rho (N, S), log pi_ref (N, S, A), r* (N, S, A), beta (N,) and log pi (N, S, A).
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
STAR_LEFT_OUT, POLICY_LEFT_OUT = "ball without pi*", "ball without pi"
SHARP = "sharp, C = {:g}"
LEFT_OUT = (STAR_LEFT_OUT, POLICY_LEFT_OUT)
CONTEXT_CASES = ("mean gap", "largest gap", "bound on the mean", "bound on the largest")
_STEP = 0.1  # of an ascent, the length of the first one; the last has zero length


def lanes(
    num_bandits: int, num_ascents: int, shape: tuple[int, int], bound: float, num_steps: int, seed: int
) -> dict[str, np.ndarray]:
    """Measurements of all random bandits and of all ends of ascents, in one program; "kind" is that of each lane."""
    kinds, drawn = random_lanes(num_bandits, shape, bound, seed)
    climbed = ascents(num_ascents, shape, num_steps, seed)
    *tables, policies = (jnp.asarray(np.concatenate(pair)) for pair in zip(drawn, climbed, strict=True))
    measured = _measure_all(bare_environment(*tables), policies)
    kinds = np.concatenate([kinds, np.full(num_ascents, "adversarial")])
    return {name: np.asarray(x) for name, x in measured.items()} | {"kind": kinds}


def random_lanes(num_bandits: int, shape: tuple[int, int], bound: float, seed: int) -> tuple[np.ndarray, Tables]:
    """Kind of policy (4 num_bandits,), and the tables of random bandits.

    Rewards are seen with noise on a random part of the actions. DPO, RLHF and HyPO are pi ∝ pi_ref e^{r_hat/beta} with
    what they impute on the others: the mean of the seen rewards (gradient flow), anything within the bound, E_{pi|S}.
    """
    rng = np.random.default_rng(seed)
    size = (num_bandits, *shape)
    # Concentrations from 0.2 to 3: references from nearly deterministic to even.
    reference = np.log(rng.standard_gamma(np.exp(rng.uniform(np.log(0.2), np.log(3.0), size))) + 1e-12)
    reference = log_softmax(reference, axis=-1)
    rho = rng.dirichlet(np.ones(shape[0]), num_bandits)
    beta = np.exp(rng.uniform(np.log(0.1), np.log(2.0), num_bandits))
    reward = rng.standard_normal(size)
    noisy = reward + rng.standard_normal(size) * np.exp(rng.uniform(np.log(0.05), np.log(2.0), (num_bandits, 1, 1)))
    seen = rng.random(size) < 0.6
    seen[..., 0] = True
    wide = beta[:, None, None]
    counted = np.where(seen, noisy, 0.0)
    centre = counted.sum(-1, keepdims=True) / seen.sum(-1, keepdims=True)
    on_seen = softmax(np.where(seen, reference + noisy / wide, -np.inf), axis=-1)
    imputed = {
        "dpo": np.where(seen, noisy, centre),
        "rlhf": np.clip(np.where(seen, noisy, rng.uniform(-bound, bound, size)), -bound, bound),
        "hypo": np.where(seen, noisy, (on_seen * counted).sum(-1, keepdims=True)),
        "random": wide * (3 * rng.standard_normal(size) - reference),
    }
    policies = np.concatenate([log_softmax(reference + r_hat / wide, axis=-1) for r_hat in imputed.values()])
    rho, reference, reward, beta = (np.concatenate([x] * len(imputed)) for x in (rho, reference, reward, beta))
    return np.repeat(list(imputed), num_bandits), (rho, reference, reward, beta, policies)


def ascents(num_ascents: int, shape: tuple[int, int], num_steps: int, seed: int) -> Tables:
    """Tables of num_ascents bandits where ascents of gap/sqrt(C eps) in rho, pi_ref, r* and r_hat end; C the least."""
    rng = np.random.default_rng((seed, 1))
    start = (rng.standard_normal((num_ascents, shape[0])), *rng.standard_normal((3, num_ascents, *shape)))
    weights, logits, reward, estimated = _ascend(
        tuple(map(jnp.asarray, start)), jnp.float64(_STEP), jnp.float64(num_steps)
    )
    reference = log_softmax(logits, axis=-1)
    policies = log_softmax(reference + estimated, axis=-1)
    return softmax(weights, axis=-1), reference, np.asarray(reward), np.ones(num_ascents), policies


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


def measure(env: bl.Environment, log_policy: jax.Array) -> dict[str, jax.Array]:
    """gap (I3) and J* - J apart, the size of the terms of J; three constants; gap over sqrt(C eps) for each."""
    gap = metrics.gap(env, log_policy)
    error = partial_coverage.squared_error(env, env.log_reference, partial_coverage.implicit_reward(env, log_policy))
    constants = {
        "least": partial_coverage.least_constant(env, env.log_reference, log_policy),
        "ball": partial_coverage.ball_constant(env, log_policy),
        "global": coverage.kl_ball(env, jnp.inf),
    }
    objectives = [partial_coverage.objective(env, policy) for policy in (env.log_target, log_policy)]
    logits = jnp.max(jnp.abs(env.log_reference)) + jnp.max(jnp.abs(log_policy)) + jnp.max(jnp.abs(env.log_target))
    scale = (1 + logits) * (jnp.max(jnp.abs(env.reward)) + env.beta * logits)
    ratios = {f"ratio_{name}": gap / partial_coverage.gap_bound(error, c) for name, c in constants.items()}
    return {"gap": gap, "difference": objectives[0] - objectives[1], "scale": scale} | constants | ratios


_measure_all = jax.jit(jax.vmap(measure))


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


def _bandit(tables):
    """Environment and policy of four tables: logits of rho and pi_ref, r*/beta and r_hat/beta; beta = 1."""
    weights, logits, reward, estimated = tables
    env = bare_environment(jax.nn.softmax(weights), jax.nn.log_softmax(logits, axis=-1), reward, jnp.ones(()))
    return env, jax.nn.log_softmax(env.log_reference + estimated, axis=-1)


@jax.jit
def _ascend(start, length, num_steps):
    """Tables of the best point of every ascent by normalised gradients, with steps that shrink to zero."""

    def log_ratio(tables):
        env, log_policy = _bandit(tables)
        error = partial_coverage.squared_error(env, env.log_reference, tables[3])
        constant = partial_coverage.least_constant(env, env.log_reference, log_policy)
        return jnp.log(metrics.gap(env, log_policy)) - 0.5 * jnp.log(constant) - 0.5 * jnp.log(error)

    def climb(start):
        def step(time, tables):
            gradients = jax.grad(log_ratio)(tables)
            norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in gradients))
            scale = length * (1 - time / num_steps) / jnp.maximum(norm, 1e-12)
            # Steps in proportion to the tables: the ratio rises with the logarithm of their size.
            size = jnp.sqrt(sum(jnp.sum(jnp.square(x)) for x in tables))
            return tuple(x + scale * size * g for x, g in zip(tables, gradients, strict=True))

        # A traced number of steps: presets that differ in it share the program.
        return jax.lax.fori_loop(0, num_steps.astype(int), step, start)

    return jax.vmap(climb)(start)


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
