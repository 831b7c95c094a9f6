"""APO's greedy rule: label the pair about which the information in hand says least."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.designs import leverage
from banditlab.door import LogPolicy, door
from banditlab.environment import Environment
from banditlab.numerics.compilation import LOOPS, inner
from banditlab.samplers.policies import on_policy, uniform
from banditlab.samplers.tilted import implicit_reward

NUM_PICKS = 64
# Share of uniform pairs in the first information: it is regular even where pi_k is deterministic.
_REGULAR = 1e-5


@door
def greedy_leverage(env: Environment, log_policy: LogPolicy, *, num_picks: int = NUM_PICKS) -> Array:
    """The next `num_picks` pairs of largest leverage, equally likely: argmax z'H^{-1}z over all contexts; (S, A, A).

    Each pick adds sigma' zz' to H before the next; sigma' is that of the implicit reward of pi_k, and H starts at
    the information of one on-policy pair. One pick is a point mass, whose information has rank one: its label
    price is infinite. Many picks tend to a design.

    After 2402.10500, whose abstract ("the most uncertain contexts") and whose authors' public code were read, not
    its text: the code takes the pairs of largest z'V^{-1}z, V the sum of zz' of the pairs so far. A sampler here
    has no memory of those, so "so far" is read as on-policy; sigma' in H (which the code has as a comment) and
    the update within a batch are this project's reading too.

    Args:
        num_picks: static, at least 1.
    """
    return _picked(env, log_policy, num_picks=validation.steps("num_picks", num_picks))


@inner(LOOPS, static="num_picks")
def _picked(env: Environment, log_policy: Array, *, num_picks: int) -> Array:
    allowed = (env.context_probs[:, None] > 0) & jnp.isfinite(env.log_base)
    features = leverage.whiten(env.reduced_features, allowed)
    reward = implicit_reward(env, log_policy)
    gaps = reward[:, :, None] - reward[:, None, :]
    variance = jax.nn.sigmoid(gaps) * jax.nn.sigmoid(-gaps)
    pairs = allowed[:, :, None] & allowed[:, None, :]
    start = on_policy(env, log_policy) + _REGULAR * uniform(env, log_policy)

    def pick(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        moment, law = carry
        rows = leverage.in_metric(moment, features)
        place = jnp.argmax(jnp.where(pairs, leverage.gram_table(rows, rows), -1.0))
        chosen = jnp.where(jnp.arange(law.size) == place, 1.0, 0.0).astype(law.dtype).reshape(law.shape)
        return moment + _moment(features, chosen * variance), law + chosen

    moment = _moment(features, start * variance)
    _, law = jax.lax.fori_loop(0, num_picks, pick, (moment, jnp.zeros_like(variance)))
    return law / num_picks


def _moment(features: Array, weights: Array) -> Array:
    """sum w zz', (d, d), over a table of pairs (S, A, A), symmetric or not."""
    return leverage.pair_moment(features, 0.5 * (weights + jnp.swapaxes(weights, 1, 2)))
