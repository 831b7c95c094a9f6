"""Samplers: which pair is labelled next. A sampler maps (env, log pi_k (S, A)) to a pair law (S, A, A) of total mass 1.

A sampler is a function, or a `jax.tree_util.Partial` that carries arrays. One that needs to be set up for an
environment is wrapped in `Prepared`, whose setup `simulate` runs once per environment.
"""

from banditlab.samplers.designed import designed, half_designed, paired
from banditlab.samplers.greedy import greedy_leverage
from banditlab.samplers.plug_in import plug_in_oracle, reweighted, reweighted_conditional
from banditlab.samplers.policies import initial, on_policy, policy_reference, two_stage, uniform
from banditlab.samplers.prepared import Prepared, Sampler, oracle, oracle_conditional, prepare
from banditlab.samplers.tilted import mix_p, mix_r, pilaf, pilaf_weighted

__all__ = [
    "Prepared",
    "Sampler",
    "designed",
    "greedy_leverage",
    "half_designed",
    "initial",
    "mix_p",
    "mix_r",
    "on_policy",
    "oracle",
    "oracle_conditional",
    "paired",
    "pilaf",
    "pilaf_weighted",
    "plug_in_oracle",
    "policy_reference",
    "prepare",
    "reweighted",
    "reweighted_conditional",
    "two_stage",
    "uniform",
]


def __dir__() -> list[str]:
    return __all__
