"""Predictions around theta* speak of environments whose pi* is in the policy class: the check at their door."""

from __future__ import annotations

from typing import Literal

import numpy as np

from banditlab import validation
from banditlab.environment import Environment

Misspecified = Literal["raise", "allow"]


def needed(env: Environment, misspecified: Misspecified) -> None:
    """Refuse an environment with values whose pi* the class misses, unless `misspecified` is "allow".

    Raises:
        ValueError: naming `misspecified`, and the residual; nothing where the environment is traced.
    """
    validation.choice("misspecified", misspecified, ("raise", "allow"))
    if misspecified == "allow" or env.residual is None or not validation.is_concrete(env.residual):
        return
    if (residual := np.max(np.asarray(env.residual))) > 0:
        raise ValueError(
            "env must be realizable, as this prediction assumes; the policy class misses pi* by env.residual = "
            f"{residual:.3g} in reward (misspecified='allow' gives the formula's value all the same)"
        )
    reference, base, probs = (np.asarray(part) for part in (env.log_reference, env.log_base, env.context_probs))
    if (np.isfinite(base) & ~np.isfinite(reference) & (probs[..., :, None] > 0)).any():
        raise ValueError(
            "env must be realizable, as this prediction assumes; every policy of its class plays actions that pi_ref "
            "and pi* do not (misspecified='allow' gives the formula's value all the same)"
        )
