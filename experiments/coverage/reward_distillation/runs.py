"""The runs behind the experiment reward_distillation: instances, arms, and what each is compared with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

import banditlab as bl
from banditlab import coverage
from banditlab.exact import distillation_rounds, rank
from banditlab.store import failures
from banditlab.theory import distillation as theory

# A label of Bradley-Terry is the sign of r - r' + logistic noise, of this standard deviation: a teacher with this noise
# shows the same number before its sign is taken.
LABEL_NOISE = math.pi / math.sqrt(3.0)
# Exact recovery leaves rounding only; theta of a learner that has not recovered is 0.05 away or more (exact.rank).
EXACT = 1e-9
# So many pairs that n KL is the limit's (remainder of order 1/n) and every batch has rank d.
MANY = 1e12

SAMPLERS = ("refreshed", "never")
FLOORS = ("offline", "on-policy", "damped", "pooled")
# What a teacher adds to the rewards of the ramp: it errs about one action.
WRONG = {"top": -np.eye(6)[5], "bottom": np.eye(6)[0]}
LEARNERS = {"DPO": None, "distillation": LABEL_NOISE, "noiseless": 0.0}  # the noise of a reward difference
HALF = 0.5  # the damping of the arm of FLOORS
STEPS = (0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class Config:
    """Pairs a round, rounds and seeds of every part.

    The seeds of the parts that test a constant are so many that eight standard errors are below 5%. Exact recovery is
    the same at every beta: its pairs come from policies, and these depend on theta alone.
    """

    recovery_start: float = -1.0
    recovery_pairs: int = 8
    recovery_rounds: int = 6
    recovery_seeds: int = 22528
    given_pairs: int = 20
    given_seeds: int = 24576
    start: float = -3.0
    beta: float = 2.0
    num_rounds: int = 8
    floor_seeds: tuple[int, ...] = (8192, 3072, 4096, 8192)  # of the arms FLOORS
    ramp: tuple[float, float] = (0.5, -1.0)  # theta*, theta_0
    ramp_beta: float = 1.0
    teacher_pairs: int = 10_000
    teacher_rounds: int = 6
    teacher_seeds: int = 512
    dampings: tuple[float, ...] = (0.25, 0.5, 0.75)
    damped_seeds: int = 128
    learner_pairs: int = 5000
    learner_seeds: int = 1024
    label_seeds: int = 6144
    ridge: float = 1.0
    seed: int = 0


def stairs(start: float | Sequence[float], beta: float) -> bl.Environment:
    """A staircase of four unequal stairs: with equal ones theta* - theta_0 is a single difference z, and one pair
    that shows it recovers everything before the rank is d. start: theta_0, or every coordinate of it."""
    staircase = bl.instances.staircase(len(STEPS), beta=beta)
    return staircase.replace(target_params=STEPS, initial_params=np.broadcast_to(start, len(STEPS)))


def ramp(target: float, start: float, beta: float = 1.0) -> bl.Environment:
    """Six actions, one feature phi(j) = j: a teacher's error at a single action is outside the class."""
    features = np.arange(6.0)[None, :, None]
    return bl.Environment.create(features, target_params=[target], initial_params=[start], beta=beta)


def distillation(num_pairs: float, sampler: str = "refreshed", **options) -> bl.Algorithm:
    """`bl.algorithms.reward_distillation`, with one of SAMPLERS as a number: both share one program."""
    law = Partial(bl.samplers.two_stage, jnp.asarray(float(sampler == "refreshed")))
    return bl.algorithms.reward_distillation(num_pairs, sampler=law, **options)


def recovery(config: Config) -> dict[str, np.ndarray]:
    """Noiseless and pooled, by SAMPLERS: the share recovered by round against the exact rank law.

    Returns recovered and predicted (2, num_rounds); unexplained (2,), seed-rounds whose theta is none of those that
    exact.rank allows, or that have recovered without rank d or the other way round.
    """
    env, num_pairs, num_rounds = stairs(config.recovery_start, 1.0), config.recovery_pairs, config.recovery_rounds
    algorithms = [distillation(num_pairs, sampler, pooled=True) for sampler in SAMPLERS]
    seeds: dict[str, Any] = {"num_seeds": config.recovery_seeds, "seed": config.seed}
    done = bl.simulate_grid(algorithms, [env], num_rounds=num_rounds, metrics=("existence",), **seeds)
    target, start = np.asarray(env.target_params), np.asarray(env.start_params)
    recovered = np.abs(done.params - target).max(axis=-1) < EXACT
    spans = done.metrics["existence"] == bl.Existence.exists
    features, log_base = np.asarray(env.features)[0], np.asarray(env.log_base)[0]
    of = partial(rank.rank_law, features, target, start, log_base=log_base)
    laws = [of(num_pairs, num_rounds, on_policy=name == "refreshed") for name in SAMPLERS]
    off = distillation_rounds.distance_to_nearest(done.params, laws[0].params) > EXACT
    return {
        "recovered": recovered.mean(axis=1),
        "predicted": np.stack([law.recovered[1:] for law in laws]),
        "unexplained": (off | (recovered != spans)).sum(axis=(1, 2)),
    }


def given_the_pairs(config: Config) -> dict[str, np.ndarray]:
    """One batch from pi_0 x pi_0 per seed: ratio (m,) of ||theta_hat - theta*||^2_{V*} to its mean given the pairs.

    Over the m batches that span, which depends on the pairs alone; the others are failures.
    """
    env = stairs(0.0, config.beta)
    algorithm = bl.algorithms.reward_distillation(config.given_pairs, LABEL_NOISE, on_policy=False)

    def ratio(key: Array) -> Array:
        state, _ = algorithm.step(key, algorithm.init(key, env), env)
        error = state.params - env.target_params
        floor = theory.noise_floor(env, state.counts, LABEL_NOISE)
        return error @ coverage.target_covariance(env) @ error / floor

    keys = jax.random.split(jax.random.key(config.seed), config.given_seeds)
    ratios = np.asarray(jax.jit(jax.vmap(ratio))(keys))
    shown = ratios > 0  # the floor is infinite where the pairs do not span
    return {"ratio": ratios[shown]} | failures({"undetermined": ~shown})


def floors(config: Config) -> dict[str, np.ndarray]:
    """KL over its prediction, averaged over the rounds of a run: one value per seed, for every arm of FLOORS.

    Fresh batches have KL = tr(V* M^{-1}) tau^2/(2 beta^2 n): `offline` at pi_0, `on-policy` at pi*, to 1/sqrt(n) from
    the second round on. `damped` and `pooled` start at theta*, in `near`: after k rounds on-policy they are left with
    eta^2 sum_{j<k} (1-eta)^2j and 1/k of it. Also "undetermined ARM", the batches without rank d.
    """
    far, near = stairs(config.start, config.beta), stairs(STEPS, config.beta)
    at_start, at_target = (
        float(theory.predicted_kl(env, bl.samplers.initial(env, env.log_initial), MANY, LABEL_NOISE))
        for env in (far, near)
    )
    rounds = range(1, config.num_rounds + 1)
    share = np.asarray([theory.damped_share(HALF, k) for k in rounds])
    arms = {
        "offline": ({"sampler": "never"}, far, at_start),
        "on-policy": ({}, far, at_target),  # its first batch, left out, is the offline one
        "damped": ({"damping": HALF}, near, at_target * share),
        "pooled": ({"pooled": True}, near, at_target / np.asarray(rounds)),
    }
    results = {}
    for (arm, (options, env, predicted)), seeds in zip(arms.items(), config.floor_seeds, strict=True):
        done = _simulate(distillation(MANY, noise=LABEL_NOISE, **options), env, config, seeds)
        results[arm] = (done.metrics["kl_target"] / predicted)[:, arm == "on-policy" :].mean(axis=1)
        results[f"undetermined {arm}"] = np.asarray(done.failures["undetermined"])
    return results


def teachers(env: bl.Environment, rewards: Mapping[str, np.ndarray], config: Config) -> dict[str, np.ndarray]:
    """KL (pairs, seeds, rounds) of "TEACHER SAMPLER", noiseless, fresh batches; pairs: the Config's, and MANY."""
    arms = {f"{name} {sampler}": (name, sampler) for name in rewards for sampler in SAMPLERS}
    num_pairs = (config.teacher_pairs, MANY)
    grid = [distillation(n, sampler, teacher=rewards[name]) for name, sampler in arms.values() for n in num_pairs]
    sizes: dict[str, Any] = {"num_rounds": config.teacher_rounds, "num_seeds": config.teacher_seeds}
    sizes |= {"seed": config.seed, "record_params": False}
    kl = bl.simulate_grid(grid, [env], metrics=("kl_target",), **sizes).metrics["kl_target"]
    return dict(zip(arms, kl.reshape(len(arms), len(num_pairs), *kl.shape[1:]), strict=True))


def damped(damping: float, config: Config) -> dict[str, np.ndarray]:
    """Noiseless: KL (seeds, rounds), and the largest deviation of theta_k - theta* from (1-eta)^k (theta_0 - theta*)
    relative to its length, (rounds,); predicted: the KL of that geometric path (rounds,)."""
    env = stairs(config.start, config.beta)
    done = _simulate(distillation(MANY, damping=damping), env, config, config.damped_seeds)
    target, start = np.asarray(env.target_params), np.asarray(env.start_params)
    path = distillation_rounds.damped_errors(start - target, damping, config.num_rounds)
    predicted = [float(bl.metrics.kl_target(env, env.log_policy(jnp.asarray(target + error)))) for error in path]
    return {
        "kl": done.metrics["kl_target"],
        "deviation": distillation_rounds.relative_distance(done.params - target, path).max(axis=0),
        "predicted": np.asarray(predicted),
        "undetermined": np.asarray(done.failures["undetermined"]),
    }


def learner(name: str, num_pairs: float, ridge: float, num_seeds: int, config: Config) -> dict[str, np.ndarray]:
    """On-policy, fresh batches: KL (seeds, rounds) of DPO, or of distillation with or without the labels' noise."""
    dpo, noise = bl.algorithms.on_policy_dpo(num_pairs, ridge=ridge), LEARNERS[name]
    algorithm = dpo if noise is None else distillation(num_pairs, noise=noise)
    done = _simulate(algorithm, stairs(config.start, config.beta), config, num_seeds)
    kl = done.metrics["kl_target"]
    return {"kl": np.where(kl < EXACT**2, 0.0, kl), "start": done.initial["kl_target"]} | failures(done.failures)


def _simulate(algorithm: bl.Algorithm, env: bl.Environment, config: Config, num_seeds: int) -> bl.Run:
    sizes: dict[str, Any] = {"num_rounds": config.num_rounds, "num_seeds": num_seeds, "seed": config.seed}
    return bl.simulate(algorithm, env, metrics=("kl_target", "existence"), **sizes)
