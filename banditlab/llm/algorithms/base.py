"""What distinguishes the algorithms, and what a run of one carries from round to round."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
from jax import Array

from banditlab import losses
from banditlab.llm import decoder
from banditlab.llm.oracles import Oracle, RewardModel
from banditlab.numerics.adam import Moments


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Method:
    """What distinguishes the arms; build it with a preset. Flags and numbers are arrays, so that arms which differ in
    nothing else share one compilation, side by side if wanted.

    Attributes:
        on_policy: () bool, the current policy draws the pairs of every round; otherwise the reference does.
        fresh: () bool, new pairs every round; otherwise the first round's set is used again and again.
        penalty: () float32, weight of KL(pi || pi_ref) beside the mean loss.
        noise: () standard deviation of an observed reward difference.
        oracle: who labels.
        loss: elementwise, of the margin, and of the observed reward difference if it is `losses.distillation`.
        num_samples: k, draws per prompt and step for the gradient of the KL; 0: there is no such term.
        num_prompts: how many of a batch's prompts get such draws; None: all.
        num_candidates: K, candidates per prompt from the reference and as many from the policy; 0: no pool.
        scheme: how a pair is drawn from a pool, see `hybrid_dpo`.
    """

    on_policy: Array
    fresh: Array
    penalty: Array
    noise: Array
    oracle: Oracle
    loss: losses.Loss = dataclasses.field(default=losses.dpo, metadata={"static": True})
    num_samples: int = dataclasses.field(default=0, metadata={"static": True})
    num_prompts: int | None = dataclasses.field(default=None, metadata={"static": True})
    num_candidates: int = dataclasses.field(default=0, metadata={"static": True})
    scheme: str = dataclasses.field(default="", metadata={"static": True})

    @property
    def regresses(self) -> bool:
        """Whether the margin is regressed on observed reward differences."""
        return self.loss is losses.distillation


class State(NamedTuple):
    """What a run carries. A round's randomness is a function of the run's key and `number` alone.

    Attributes:
        params: of the current policy.
        optimizer: Adam's moments, which live through all rounds.
        number: () uint32, rounds done.
        reward_model: what the oracle has learned, before the first round; None if its rewards are the task's.
    """

    params: decoder.Params
    optimizer: Moments
    number: Array
    reward_model: RewardModel | None = None
