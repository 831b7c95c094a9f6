"""The constant-free predictors of docs/theory.md, section 4, at the policies that a run realised."""

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl


def realised(env: bl.Environment, algorithm: bl.Algorithm, run: bl.Run) -> np.ndarray:
    """Predicted E_x KL(pi* || pi_{k+1}), (num_seeds, num_rounds), for a `dpo` algorithm's run with params.

    Fresh batches: tr(V* H(pi_k)^{-1}) / (2n). Pooled data: (1/2) tr(V* (sum_{j<=k} n H(pi_j))^{-1}). The ridge
    is left out.
    """
    settings = algorithm.settings
    return np.asarray(_realised(env, settings["sampler"], settings["num_pairs"], settings["memory"], run.params))


@jax.jit
def _realised(env, sampler, num_pairs, memory, params):
    def one_run(params):
        sampling = jnp.concatenate([env.log_initial[None], jax.vmap(env.log_policy)(params[:-1])])
        laws = jax.vmap(lambda log_policy: sampler(env, log_policy))(sampling)
        information = num_pairs * jax.vmap(lambda law: bl.theory.fisher_information(env, law))(laws)
        information = jnp.where(memory > 0, jnp.cumsum(information, axis=0), information)
        return jax.vmap(lambda total: bl.theory.predicted_kl_pooled(env, total))(information)

    # A chunk at a time: the pair laws of all seeds at once would fill the memory.
    return jax.lax.map(one_run, params, batch_size=256)
