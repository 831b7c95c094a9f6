"""What a teacher's error does to the rounds of distillation, in the population."""

import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab import coverage, distillation_theory


def bias_path(env: bl.Environment, teacher: np.ndarray, num_rounds: int, *, refreshed: bool) -> dict[str, np.ndarray]:
    """The population recursion: KL of theta_1 .. theta_K (num_rounds,), and for the policies that sampled them the
    coverage C_op, the weighted error E Var(b)/beta^2, and the share ||theta - theta*||^2_{V*} of their product."""
    params = distillation_theory.population_recursion(env, teacher, num_rounds, on_policy=refreshed)
    spread = np.asarray(coverage.target_covariance(env))
    path = {"kl": [], "coverage": [], "error": [], "share": []}
    for k in range(num_rounds):
        sampling = env.log_policy(jnp.asarray(params[k])) if refreshed else env.log_initial
        path["coverage"].append(float(coverage.operator(env, sampling)))
        bound = float(distillation_theory.bias_bound(env, teacher, sampling))
        path["error"].append(bound / path["coverage"][-1])
        shift = params[k + 1] - np.asarray(env.target_params)
        path["share"].append(float(shift @ spread @ shift) / bound)
        path["kl"].append(float(bl.metrics.kl_target(env, env.log_policy(jnp.asarray(params[k + 1])))))
    return {name: np.asarray(values) for name, values in path.items()}
