"""Moments of the gradient estimators: by enumeration of all samples, and by simulation."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import policy_gradients
from banditlab.exact.score_estimators import NAIVE, REINFORCE, RLOO


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


@jax.jit(static_argnums=(5, 6))
def simulated(key, env, log_policies, values, means, num_estimates, num_samples):
    """Mean squared distance (P,) of estimates from their known means {name: (P, A)}, by name."""

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
