"""The runs behind the experiment function_classes: version spaces, finite least squares, the rate of two classes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import policies, preferences, theory
from banditlab.store import failures
from banditlab.theory import distillation

REFERENCE = (0.8, 0.08, 0.06, 0.04, 0.02)  # pi_0: little mass on what pi* likes
TARGET = (0.2, 0.22, 0.21, 0.19, 0.18)  # pi*; unequal, so that no two survivors are equally far
TOO_HIGH, TOO_LOW = 1.0, -4.0  # what a wrong function adds to the reward of its action
# Arm -> error and whether the sampler follows the survivors. Off-policy the sign of the error is not seen.
ARMS = {
    "off-policy": (TOO_HIGH, False),
    "on-policy, too high": (TOO_HIGH, True),
    "on-policy, too low": (TOO_LOW, True),
}
DELTA = 0.1  # failure probability of the two bounds with log(|F|/delta)


def one_action_wrong(error: float, beta: float = 1.0) -> tuple[bl.Environment, np.ndarray]:
    """A tabular environment, and the class f_m = r* + error 1{a = m}, (M, 1, A), for every action but the first."""
    reward = beta * (np.log(TARGET) - np.log(REFERENCE))
    env = bl.instances.tabular(reward[None], np.log(REFERENCE)[None], beta)
    return env, reward + error * np.eye(len(reward))[1:, None, :]


def version_spaces(num_pairs: int, num_rounds: int, num_seeds: int, seed: int, beta: float) -> dict[str, np.ndarray]:
    """Survivor sets by round, (num_seeds, num_rounds) for every arm, f_m as bit m.

    The simulation plays the pairs and keeps the functions that fit all the differences shown; the policies are
    computed from the tables, on the device. It shares the arrays of the environment with the exact law, no more.
    """
    built = [one_action_wrong(error, beta) for error, _ in ARMS.values()]
    envs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[env for env, _ in built])
    rewards = jnp.asarray(np.stack([rewards for _, rewards in built]))
    on_policy = jnp.asarray([follows for _, follows in ARMS.values()])
    keys = jax.random.split(jax.random.key(seed, impl="rbg"), num_seeds)
    play = partial(_play, num_pairs=num_pairs, num_rounds=num_rounds)
    over_seeds = jax.vmap(play, in_axes=(0, None, None, None))
    sets = jax.jit(jax.vmap(over_seeds, in_axes=(None, 0, 0, 0)))(keys, envs, rewards, on_policy)
    return {arm: np.asarray(found) for arm, found in zip(ARMS, sets, strict=True)}


def _play(key: Array, env: bl.Environment, rewards: Array, on_policy: Array, *, num_pairs: int, num_rounds: int):
    truth = env.reward
    gaps = rewards[..., :, None] - rewards[..., None, :]
    fits = jnp.abs(gaps - (truth[:, :, None] - truth[:, None, :])[None]) < 1e-9
    induced = jax.nn.log_softmax(env.log_reference[None] + rewards / env.beta, axis=-1)
    far = jax.vmap(lambda log_policy: policies.kl(env, env.log_target, log_policy))(induced)

    def play(alive: Array, key: Array) -> tuple[Array, Array]:
        chosen = jnp.where(alive.any(), induced[jnp.argmax(jnp.where(alive, far, -1.0))], env.log_target)
        sampling = jnp.where(on_policy & ~alive.all(), chosen, env.log_initial)
        law = policies.independent_pairs(env, sampling, sampling)
        shown = preferences.draw_counts(key, law, num_pairs) > 0
        alive = alive & (fits | ~shown[None]).all(axis=(1, 2, 3))
        return alive, jnp.sum(jnp.where(alive, 1 << jnp.arange(alive.size), 0))

    return jax.lax.scan(play, jnp.ones(len(rewards), bool), jax.random.split(key, num_rounds))[1]


def least_squares(error: float, noise: float, num_pairs: tuple[int, ...], num_seeds: int, seed: int):
    """Least squares over {f*, f_1, .., f_M} and over {f*, f_m} alone, offline pairs with Gaussian noise.

    For K numbers of pairs: wrong (num_seeds, K) and wrong_alone (num_seeds, K, M), whether the minimiser is not f*;
    deviation (num_seeds, K), sum_i (Delta_fhat - Delta*)^2 of the minimiser over the whole class.
    """
    env, rewards = one_action_wrong(error)
    truth = np.asarray(env.reward)
    deviations = (rewards - truth)[..., :, None] - (rewards - truth)[..., None, :]
    law = bl.samplers.initial(env, env.log_initial)
    g = jnp.asarray(deviations)
    capacity = 1 << (max(num_pairs) - 1).bit_length()  # one program for all numbers of pairs

    @jax.jit
    def choose(keys: Array) -> tuple[Array, Array, Array]:
        def one(key: Array, pairs: Array) -> tuple[Array, Array, Array]:
            key_pairs, key_noise = jax.random.split(key)
            counts = preferences.draw_counts(key_pairs, law, pairs, capacity=capacity)
            total = noise * jnp.sqrt(counts) * jax.random.normal(key_noise, counts.shape)
            # ||D - Delta_f||^2 - ||D - Delta*||^2 over the pairs, cell by cell.
            square = jnp.einsum("xab,mxab->m", counts, g**2)
            loss = square - 2 * jnp.einsum("xab,mxab->m", total, g)
            best = jnp.argmin(loss)
            return loss[best] < 0, loss < 0, jnp.where(loss[best] < 0, square[best], 0.0)

        return jax.vmap(jax.vmap(one), in_axes=(0, None))(keys, jnp.asarray(num_pairs, float))

    keys = jax.random.split(jax.random.key(seed, impl="rbg"), (num_seeds, len(num_pairs)))
    wrong, alone, deviation = choose(keys)
    return {"wrong": np.asarray(wrong), "wrong_alone": np.asarray(alone), "deviation": np.asarray(deviation)}


def classes(beta: float) -> dict[str, bl.Environment]:
    """The two linear classes whose rate is measured: every table, and random features."""
    log_reference = np.log((0.4, 0.3, 0.1, 0.1, 0.1))
    tabular = bl.instances.tabular(beta * (np.log(TARGET) - log_reference)[None], log_reference[None], beta)
    features = bl.instances.random_features(num_contexts=3, num_actions=5, num_features=4, target_norm=3.0, beta=beta)
    return {"tabular": tabular, "random features": features}


def rate(env: bl.Environment, num_pairs: tuple[float, ...], noise: float, num_seeds: int, seed: int):
    """n E_x Var_{pi*}(f_hat - f*) of reward distillation: offline and on-policy (num pairs, num_seeds) each.

    The first batch comes from pi_0, the second from the policy fitted to it. predicted_ARM: the constant
    tau^2 tr(V* M^{-1}) at pi_0 and at pi*; remainder_ARM: G(mu), which over n bounds the relative remainder, E(M_n - M)
    M^{-1}(M_n - M) <= G(mu) M/n; undetermined: batches that do not span.
    """
    algorithms = [bl.algorithms.reward_distillation(n, noise) for n in num_pairs]
    done = bl.simulate_grid(algorithms, [env], num_rounds=2, num_seeds=num_seeds, seed=seed, metrics=("existence",))
    beta, log_base, reference = float(env.beta), np.asarray(env.log_base), np.asarray(env.log_reference)
    implicit = beta * (np.einsum("xad,nskd->nskxa", np.asarray(env.features), done.params) + log_base - reference)
    errors, target = implicit - np.asarray(env.reward), np.exp(np.asarray(env.log_target))
    centred = errors - np.sum(target * errors, axis=-1, keepdims=True)
    variance = np.einsum("x,xa,nskxa->nsk", np.asarray(env.context_probs), target, centred**2)
    found = {"undetermined": np.asarray(done.failures["undetermined"])} | failures(done.failures)
    for place, (arm, sampling) in enumerate((("offline", env.log_initial), ("on-policy", env.log_target))):
        law = policies.independent_pairs(env, sampling, sampling)
        found[arm] = variance[..., place] * np.asarray(num_pairs)[:, None]
        found[f"predicted {arm}"] = beta**2 * np.asarray(distillation.noise_price(env, law, noise))
        found[f"remainder {arm}"] = np.asarray(theory.leverage(env, law))
    return found
