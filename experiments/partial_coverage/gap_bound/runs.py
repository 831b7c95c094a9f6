"""Random bandits with the policies of every kind, and the ends of ascents of the ratio: what is computed in shards."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, softmax

import banditlab as bl
from banditlab import coverage, metrics, partial_coverage
from banditlab.exact import imputation
from banditlab.store import failures
from experiments.partial_coverage.shared.bare_bandits import bare_environment, uneven_weights

# rho (N, S), log pi_ref (N, S, A), r* (N, S, A), beta (N,) and log pi (N, S, A).
Tables = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
DPO, RLHF, HYPO, RANDOM, ADVERSARIAL = "dpo", "rlhf", "hypo", "random", "adversarial"
LEAST, BALL, GLOBAL = "least", "ball", "global"
OWN = {DPO: GLOBAL, RLHF: BALL, HYPO: BALL, RANDOM: LEAST, ADVERSARIAL: LEAST}
EPS = float(np.finfo(np.float64).eps)
_STEP = 0.1  # of an ascent, the length of the first one; the last has zero length


def lanes(
    num_bandits: int, num_ascents: int, shape: tuple[int, int], bound: float, num_steps: int, seed: int
) -> dict[str, np.ndarray]:
    """Measurements of all random bandits and of all ends of ascents, in one program; "kind" is that of each lane."""
    kinds, drawn = random_lanes(num_bandits, shape, bound, seed)
    climbed = ascents(num_ascents, shape, num_steps, seed)
    *tables, policies = (jnp.asarray(np.concatenate(pair)) for pair in zip(drawn, climbed, strict=True))
    measured = {name: np.asarray(x) for name, x in _measure_all(bare_environment(*tables), policies).items()}
    kinds = {"kind": np.concatenate([kinds, np.full(num_ascents, ADVERSARIAL)])}
    return measured | kinds | failures({"bandits whose ratio is not finite": ~np.isfinite(measured["ratio_least"])})


def random_lanes(num_bandits: int, shape: tuple[int, int], bound: float, seed: int) -> tuple[np.ndarray, Tables]:
    """Kind of policy (4 num_bandits,), and the tables of random bandits.

    Rewards are seen with noise on a random part of the actions. DPO, RLHF and HyPO are pi ∝ pi_ref e^{r_hat/beta} with
    what they impute on the others: the mean of the seen rewards (gradient flow), anything within the bound, E_{pi|S}.
    """
    rng = np.random.default_rng(seed)
    size = (num_bandits, *shape)
    reference = log_softmax(np.log(uneven_weights(rng, size, 0.2, 1e-12)), axis=-1)
    rho = rng.dirichlet(np.ones(shape[0]), num_bandits)
    beta = np.exp(rng.uniform(np.log(0.1), np.log(2.0), num_bandits))
    reward = rng.standard_normal(size)
    noisy = reward + rng.standard_normal(size) * np.exp(rng.uniform(np.log(0.05), np.log(2.0), (num_bandits, 1, 1)))
    seen = rng.random(size) < 0.6
    seen[..., 0] = True
    wide = beta[:, None, None]
    imputed = {
        DPO: np.where(seen, noisy, imputation.plain_mean(noisy, seen)),
        RLHF: np.clip(np.where(seen, noisy, rng.uniform(-bound, bound, size)), -bound, bound),
        HYPO: np.where(seen, noisy, imputation.tilted_mean(reference + noisy / wide, noisy, seen)),
        RANDOM: wide * (3 * rng.standard_normal(size) - reference),
    }
    policies = np.concatenate([log_softmax(reference + r_hat / wide, axis=-1) for r_hat in imputed.values()])
    rho, reference, reward, beta = (np.concatenate([x] * len(imputed)) for x in (rho, reference, reward, beta))
    return np.repeat(list(imputed), num_bandits), (rho, reference, reward, beta, policies)


def ascents(num_ascents: int, shape: tuple[int, int], num_steps: int, seed: int) -> Tables:
    """Tables of num_ascents bandits where ascents of gap/sqrt(C eps) in rho, pi_ref, r* and r_hat end; C the least."""
    rng = np.random.default_rng((seed, 1))
    start = (rng.standard_normal((num_ascents, shape[0])), *rng.standard_normal((3, num_ascents, *shape)))
    ends = _ascend(tuple(map(jnp.asarray, start)), jnp.float64(_STEP), jnp.float64(num_steps))
    weights, logits, reward, estimated = ends
    reference = log_softmax(logits, axis=-1)
    policies = log_softmax(reference + estimated, axis=-1)
    return softmax(weights, axis=-1), reference, np.asarray(reward), np.ones(num_ascents), policies


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
def _ascend(start, length, num_steps):
    """Tables of the best point of every ascent by normalised gradients, with steps that shrink to zero."""

    def log_ratio(tables):
        # Logits of rho and pi_ref, r*/beta and r_hat/beta; beta = 1.
        weights, logits, reward, estimated = tables
        env = bare_environment(jax.nn.softmax(weights), jax.nn.log_softmax(logits, axis=-1), reward, jnp.ones(()))
        log_policy = jax.nn.log_softmax(env.log_reference + estimated, axis=-1)
        error = partial_coverage.squared_error(env, env.log_reference, estimated)
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
