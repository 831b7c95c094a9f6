"""The constant-free predictors of docs/theory.md, Proposition 13, at the policies that a run realised."""

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl


def realised(env: bl.Environment, algorithm: bl.Algorithm, run: bl.Run) -> np.ndarray:
    """Predicted E_x KL(pi* || pi_{k+1}), (num_seeds, num_rounds), for a `dpo` algorithm's run with params.

    With the weight m that a label keeps each round (0 fresh, 1 pooled), A = sum_j m^{k-j} n H(pi_j) and B with m^2:
    (1/2) tr(V* A^{-1} B A^{-1}). The ridge is left out.
    """
    settings = algorithm.settings
    return np.asarray(_realised(env, settings["sampler"], settings["num_pairs"], settings["memory"], run.params))


@jax.jit
def _realised(env, sampler, num_pairs, memory, params):
    def one_run(params):
        sampling = jnp.concatenate([env.log_initial[None], jax.vmap(env.log_policy)(params[:-1])])
        laws = jax.vmap(lambda log_policy: sampler(env, log_policy))(sampling)
        fresh = num_pairs * jax.vmap(lambda law: bl.theory.fisher_information(env, law))(laws)

        def remember(carry, batch):
            information, covariance = memory * carry[0] + batch, memory**2 * carry[1] + batch
            return (information, covariance), bl.theory.predicted_kl_weighted(env, information, covariance)

        nothing = jnp.zeros_like(fresh[0])
        return jax.lax.scan(remember, (nothing, nothing), fresh)[1]

    # A chunk at a time: the pair laws of all seeds at once would fill the memory.
    return jax.lax.map(one_run, params, batch_size=256)
