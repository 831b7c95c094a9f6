"""Moments of the gradient estimators: by enumeration of all samples, by simulation, and in closed form without them.

The closed forms know the policy and f alone. With s = e_y - pi and h(y, y') = (f(y) - f(y'))(s - s')/2, RLOO is rho
times the U-statistic of h; its variance is Hoeffding's, [4 (k - 2) zeta_1 + 2 zeta_2]/(k (k - 1)). REINFORCE is a mean
of k independent f s, the naive estimator one of k independent s. Variances are traces of covariances.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import policy_gradients

RLOO, REINFORCE, NAIVE = "rloo", "reinforce", "naive"
NAMES = (RLOO, REINFORCE, NAIVE)


def closed_forms(policy: np.ndarray, values: np.ndarray, num_samples: float) -> dict[str, float]:
    """Variance of every estimator with k = num_samples draws of one context, rho = 1.

    Args:
        policy: (A,) probabilities.
        values: (A,) f.
        num_samples: k >= 2; inf gives k times the variance in the limit.
    """
    scores = np.eye(len(policy)) - policy
    weighted = values[:, None] * scores
    mean = policy @ weighted
    kernel = 0.5 * (values[:, None] - values)[:, :, None] * (scores[:, None, :] - scores[None, :, :])
    projected = np.einsum("b,abc->ac", policy, kernel)  # E[h | y]
    first = policy @ ((projected - mean) ** 2).sum(1)
    second = np.einsum("a,b,abc->", policy, policy, (kernel - mean) ** 2)
    single = {REINFORCE: policy @ ((weighted - mean) ** 2).sum(1), NAIVE: 1 - policy @ policy}
    k = num_samples
    if np.isinf(k):
        return {RLOO: float(4 * first)} | {name: float(value) for name, value in single.items()}
    own = {RLOO: (4 * (k - 2) * first + 2 * second) / (k * (k - 1))}
    return {name: float(value) for name, value in (own | {name: v / k for name, v in single.items()}).items()}


def enumerated(env: bl.Environment, log_policies: jax.Array, values: jax.Array, num_samples: int) -> dict:
    """Exact moments of one context's estimators at every policy, by summation over all A^k samples.

    Args:
        env: with one context.
        log_policies, values: (P, 1, A).

    Returns:
        name -> {"mean": (P, A), "variance": (P,), "spread": (P,)}, spread the standard deviation of the squared
        distance of one estimate from the mean.
    """
    samples = np.array(list(itertools.product(range(env.num_actions), repeat=num_samples)))
    actions = jnp.asarray(samples)[:, None, :]
    return _summed(env, log_policies, values, actions)


@jax.jit
def _summed(env, log_policies, values, actions):
    def one(log_policy, table):
        weights = jnp.exp(jnp.sum(log_policy[0][actions[:, 0, :]], axis=1))
        found = {}
        for name, estimates in _estimates(env, log_policy, table, actions).items():
            mean = jnp.einsum("n,na->a", weights, estimates)
            squares = jnp.sum(jnp.square(estimates - mean[None]), axis=1)
            variance = weights @ squares
            spread = jnp.sqrt(jnp.maximum(weights @ jnp.square(squares - variance), 0.0))
            found[name] = {"mean": mean, "variance": variance, "spread": spread}
        return found

    return jax.lax.map(lambda pair: one(*pair), (log_policies, values))


def simulated(
    key: jax.Array,
    env: bl.Environment,
    log_policies: jax.Array,
    values: jax.Array,
    means: dict,
    counts: tuple[int, int],
) -> dict:
    """Mean squared distance (P,) of estimates from their known means {name: (P, A)}; counts = (estimates, draws k)."""
    return _drawn(key, env, log_policies, values, means, *counts)


@jax.jit(static_argnums=(5, 6))
def _drawn(key, env, log_policies, values, means, num_estimates, num_samples):
    def one(given):
        place, log_policy, table, mean = given
        own = jax.random.fold_in(key, place)
        actions = policy_gradients.sample(own, log_policy, num_estimates * num_samples)
        actions = actions.reshape(num_estimates, 1, num_samples)
        estimates = _estimates(env, log_policy, table, actions)
        return {name: jnp.mean(jnp.sum(jnp.square(x - mean[name][None]), axis=1)) for name, x in estimates.items()}

    return jax.lax.map(one, (jnp.arange(len(values)), log_policies, values, means))


def _estimates(env, log_policy, values, actions) -> dict[str, jax.Array]:
    """name -> (N, A) estimates of a single context, for actions (N, 1, k)."""
    made = {
        RLOO: lambda drawn: policy_gradients.rloo(env, log_policy, values, drawn),
        REINFORCE: lambda drawn: policy_gradients.reinforce(env, log_policy, values, drawn),
        NAIVE: lambda drawn: policy_gradients.naive(env, log_policy, drawn),
    }
    return {name: jax.vmap(estimate)(actions)[:, 0] for name, estimate in made.items()}
