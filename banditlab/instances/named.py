"""The named instances of docs/theory.md, section 9: small bandits, each made to show one thing."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.door import Finite, door
from banditlab.environment import Environment


def create(names: Mapping[str, str], features: ArrayLike, **arguments: Any) -> Environment:
    """`Environment.create`, whose errors name the arguments of an instance: own name -> that of `create`."""
    try:
        return Environment.create(features, **arguments)
    except ValueError as error:
        text = str(error)
        for own, name in names.items():
            text = re.sub(rf"\b{name}\b", own, text)
        raise ValueError(text) from error


@door
def chain(target: Finite = 1.0, start: Finite = 0.0, beta: float = 1.0) -> Environment:
    """Two actions, phi in {0, 1}, uniform reference: pi_theta(1) = sigma(theta), so every law is exact.

    Args:
        target: theta*.
        start: theta_0 of the first sampling policy.
        beta: KL temperature.
    """
    names = {"target": "target_params", "start": "initial_params"}
    return create(names, [[[0.0], [1.0]]], target_params=[float(target)], initial_params=[float(start)], beta=beta)


@door
def staircase(num_stairs: int = 6, step: Finite = 0.5, start: Finite = 3.0, beta: float = 1.0) -> Environment:
    """L+1 actions, phi(j) = e_1 + .. + e_j, theta*_i = step; sampling starts at theta_0,i = -start.

    C_tr(pi_0) grows like e^{start L} and the label price like e^{(start + min(start, beta step)) L}:
    each batch can reveal only a few more stairs.
    """
    num_stairs = int(validation.whole("num_stairs", num_stairs))
    validation.tables("num_stairs", num_stairs**2)
    features = np.tril(np.ones((num_stairs + 1, num_stairs + 1)))[:, 1:]
    return create(
        {"step": "target_params", "start": "initial_params"},
        features[None],
        target_params=np.full(num_stairs, float(step)),
        initial_params=np.full(num_stairs, -float(start)),
        beta=beta,
    )


@door
def needle(num_needles: int = 4, rare_mass: float = 0.01, beta: float = 1.0) -> Environment:
    """Arm 0 holds 1 - eps of pi_ref, d needles share eps, and the reward lifts them to half of pi*.

    C_op and C_inf grow like 1/eps, the label price like eps^{-(1+beta)} as the lifted reward saturates sigma'.
    """
    num_needles = int(validation.whole("num_needles", num_needles))
    validation.tables("num_needles", num_needles**2)
    eps = validation.positive("rare_mass", rare_mass)
    if eps >= 1:
        raise ValueError(f"rare_mass must be below 1; got {rare_mass}")
    features = np.vstack([np.zeros(num_needles), np.eye(num_needles)])
    log_reference = np.log([1 - eps] + [eps / num_needles] * num_needles)
    lift = math.log1p(-eps) - math.log(eps)
    return Environment.create(
        features[None], target_params=np.full(num_needles, lift), log_reference=log_reference[None], beta=beta
    )


@door
def partial_coverage(
    num_actions: int = 10, covered_mass: float = 1.0, uncovered_reward: Finite = 1.0, beta: float = 1.0
) -> Environment:
    """Tabular, one context: the first half of the actions shares `covered_mass` of pi_ref, the others the rest.

    With covered_mass = 1 the others have no reference mass at all. The covered rewards rise from 0 to 1/2;
    the uncovered actions all get `uncovered_reward`. Free softmax, so a policy can move where pi_ref is not.
    """
    num_actions = int(validation.whole("num_actions", num_actions))
    if num_actions < 2:
        raise ValueError(f"num_actions must be at least 2; got {num_actions}")
    validation.tables("num_actions", num_actions**2)
    mass = validation.positive("covered_mass", covered_mass)
    if mass > 1:
        raise ValueError(f"covered_mass must be at most 1; got {covered_mass}")
    covered = (num_actions + 1) // 2
    uncovered = num_actions - covered
    reference = np.array([mass / covered] * covered + [(1 - mass) / uncovered] * uncovered)
    with np.errstate(divide="ignore"):
        log_reference = np.log(reference)
    reward = np.concatenate([np.linspace(0.0, 0.5, covered), np.full(uncovered, uncovered_reward)])
    return table({"uncovered_reward": "reward"}, reward[None], log_reference[None], beta)


@door
def random_features(
    num_contexts: int = 8,
    num_actions: int = 10,
    num_features: int = 4,
    seed: int = 0,
    target_norm: Finite = 1.0,
    beta: float = 1.0,
) -> Environment:
    """Gaussian features scaled to unit norm, theta* uniform on a sphere, uniform reference: the honest null.

    C_tr(pi_ref) is close to d, so on-policy data have nothing to improve.
    """
    num_contexts, num_actions, num_features = shape = tuple(
        int(validation.whole(name, value))
        for name, value in (
            ("num_contexts", num_contexts),
            ("num_actions", num_actions),
            ("num_features", num_features),
        )
    )
    validation.tables("num_contexts * num_actions * num_features", math.prod(shape))
    if num_features > num_contexts * (num_actions - 1):
        raise ValueError(
            "num_features must be at most num_contexts * (num_actions - 1), so that differences of actions show all; "
            f"got {num_features}, {num_contexts} and {num_actions}"
        )
    rng = np.random.default_rng(validation.index("seed", seed))
    features = rng.standard_normal(shape)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    target = rng.standard_normal(num_features)
    names = {"target_norm": "target_params"}
    return create(names, features, target_params=float(target_norm) * target / np.linalg.norm(target), beta=beta)


@door
def zhu_jordan_jiao() -> Environment:
    """d = 2, features (1,1), (1,0), (0,0), (0,1), theta* = (-1, .1), beta = 1: the greedy MLE's counterexample."""
    features = [[[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]]
    return Environment.create(features, target_params=[-1.0, 0.1])


@door
def tabular(reward: ArrayLike, log_reference: ArrayLike | None = None, beta: float = 1.0) -> Environment:
    """The tabular class: one-hot features, free softmax, any reward (S, A) and reference (S, A)."""
    return table({}, reward, log_reference, beta)


def table(
    names: Mapping[str, str], reward: ArrayLike, log_reference: ArrayLike | None = None, beta: float = 1.0
) -> Environment:
    """`tabular`, whose errors name the arguments of an instance, as those of `create`."""
    rewards = validation.array("reward", reward, ("num_contexts", "num_actions"))
    validation.tables("reward", rewards.size**2)
    features = np.eye(rewards.size).reshape(*rewards.shape, rewards.size)
    return create(
        names,
        features,
        reward=rewards,
        log_reference=log_reference,
        log_base=np.zeros_like(rewards),
        beta=beta,
        unidentified="allow",
    )
