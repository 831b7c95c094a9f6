"""The algorithms, each a choice of who draws the pairs, who labels them, and what is fitted to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp

from banditlab import losses, validation
from banditlab.llm import oracles
from banditlab.llm.algorithms import pools
from banditlab.llm.algorithms.base import Method
from banditlab.llm.oracles import Oracle


def offline_dpo(*, fresh: bool = True, oracle: str | Oracle = "bradley_terry") -> Method:
    """DPO on pairs from the reference: new ones every round, or (`fresh=False`) one fixed set reused.

    Args:
        oracle: "bradley_terry", "reward" or "learned", or one built by `banditlab.llm.oracles`.

    Raises:
        ValueError: for an unknown oracle.
    """
    return _algorithm(on_policy=False, fresh=fresh, oracle=oracle)


def on_policy_dpo(*, oracle: str | Oracle = "bradley_terry") -> Method:
    """DPO on pairs from the current policy, new ones every round. Arguments and errors as in `offline_dpo`."""
    return _algorithm(on_policy=True, oracle=oracle)


def hypo(
    penalty: float,
    *,
    fresh: bool = False,
    num_samples: int = 2,
    num_prompts: int | None = None,
    oracle: str | Oracle = "bradley_terry",
) -> Method:
    """HyPO: offline DPO + penalty E_x KL(pi || pi_ref), the KL's gradient from draws of the current policy.

    At every step of Adam k = `num_samples` responses per prompt are drawn from the policy as it is, and the gradient
    is 1/(k - 1) sum_i (f_i - mean f) grad log pi(y_i), f = log pi - log pi_ref held fixed: REINFORCE with
    leave-one-out baselines, unbiased. Those draws are not labelled; the prompts are those of the step's batch.
    `penalty` weighs against the MEAN of the losses, as in the bandit's `hypo`.

    Args:
        penalty: non-negative. Zero draws nothing: it is `offline_dpo`, which does not stack with other penalties.
        fresh: new pairs every round, instead of one fixed set reused.
        num_samples: at least 2.
        num_prompts: draw for so many prompts of the batch only, which is cheaper and noisier; None: for all.
        oracle: as in `offline_dpo`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    samples = int(validation.whole("num_samples", num_samples))
    if samples < 2:
        raise ValueError(f"num_samples must be at least 2, for leave-one-out baselines; got {num_samples}")
    prompts = None if num_prompts is None else int(validation.whole("num_prompts", num_prompts))
    weight = validation.positive("penalty", penalty, zero=True)
    if weight == 0:
        return offline_dpo(fresh=fresh, oracle=oracle)
    return _algorithm(fresh=fresh, oracle=oracle, penalty=weight, num_samples=samples, num_prompts=prompts)


def reward_distillation(
    *, noise: float = 0.0, on_policy: bool = True, fresh: bool = True, oracle: str | Oracle = "reward"
) -> Method:
    """Reward distillation: the margin regressed on r(y) - r(y') + noise N(0, 1); one label is one such difference.

    Args:
        noise: non-negative.
        on_policy: pairs from the current policy; False: from the reference.
        fresh: new pairs every round; False (off policy only): one fixed set reused.
        oracle: "reward", or a learned one, whose rewards are then distilled: it observes differences, not labels.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    teacher = oracles.get(oracle)
    if oracle == "bradley_terry":
        raise ValueError(
            f"oracle must be 'reward' or a learned one where reward differences are observed; got {oracle!r}"
        )
    if on_policy and not fresh:
        raise ValueError(f"fresh must be left out where the current policy draws the pairs; got {fresh}")
    return _algorithm(
        on_policy=on_policy,
        fresh=fresh,
        oracle=teacher,
        noise=validation.positive("noise", noise, zero=True),
        loss=losses.distillation,
    )


def hybrid_dpo(
    *,
    num_candidates: int = 16,
    scheme: Literal["design", "paired", "mixture"] = "design",
    oracle: str | Oracle = "bradley_terry",
) -> Method:
    """DPO on pairs from a pool of candidates: `num_candidates` K of the reference and K of the current policy.

    Every prompt of the task gets a new pool each round. Its distinct responses are the arms of a bandit with one-hot
    features, and pairs are drawn from the G-optimal design of that bandit: "design", or as the bandit's
    `hybrid_dpo`, "paired" (y from the policy's candidates against y' of the design) or "mixture" (half such pairs of
    two policy candidates, half design pairs). That design is uniform over the distinct candidates, see `pools.design`.

    Raises:
        ValueError: naming the argument that is out of range.
    """
    return _algorithm(
        oracle=oracle,
        num_candidates=int(validation.whole("num_candidates", num_candidates)),
        scheme=validation.choice("scheme", scheme, tuple(pools.SCHEMES)),
    )


# By the names of the command line and of the bandit.
METHODS: dict[str, Callable[..., Method]] = {
    "offline_dpo": offline_dpo,
    "on_policy_dpo": on_policy_dpo,
    "hypo": hypo,
    "reward_distillation": reward_distillation,
    "hybrid_dpo": hybrid_dpo,
}


def _algorithm(
    *,
    on_policy: bool = False,
    fresh: bool = True,
    penalty: float = 0.0,
    noise: float = 0.0,
    oracle: str | Oracle,
    **options: Any,
) -> Method:
    return Method(
        jnp.asarray(bool(on_policy)),
        jnp.asarray(bool(fresh)),
        jnp.asarray(penalty, jnp.float32),
        jnp.asarray(noise, jnp.float32),
        oracles.get(oracle),
        **options,
    )
