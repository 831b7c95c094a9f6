"""Exact binomial counts for any number of trials up to 1e15, element by element in float64.

Two classical algorithms, chosen per element by the mean of the rarer outcome (never above half the trials):
sequential search of the distribution function from zero (one uniform) up to a mean of 10, and the transformed
rejection with squeeze of W. Hörmann, "The generation of binomial random variates", Journal of Statistical
Computation and Simulation 46 (1993), algorithm BTRS, above it. Under `vmap` the lanes are laid side by side in
one flat array, so that no lane waits for another and a loop never carries a mask per lane.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from banditlab.numerics import vectorised

_REJECTION_MEAN = 10.0  # smallest mean at which the squeeze of BTRS is valid
_LANE_BITS = 24  # of the 32 that number a retry: the lane below, the attempt above
_IDLE = np.uint32(255 << _LANE_BITS)  # a 255th attempt has probability below 1e-100
_SEARCH_UNROLL = 4
_PARTS = 32  # a pass of the retry loop attempts one lane in so many


def draw(key: jax.Array, trials: jax.Array, prob: jax.Array) -> jax.Array:
    """Draw independent Binomial(trials, prob) counts, exact in law up to 53-bit uniforms.

    Args:
        key: a typed PRNG key.
        trials: whole numbers in [0, 1e15] as floats, any shape.
        prob: success probabilities in [0, 1], broadcast against `trials`; 0 gives 0 and 1 gives `trials`, always.

    Returns:
        Whole numbers as floats, of the broadcast shape.

    Raises:
        ValueError: if one key is asked for more than 2^23 counts.
    """
    trials, prob = jnp.broadcast_arrays(trials, prob)
    rarer = draw_rarer(key, trials, jnp.minimum(prob, 1 - prob))
    return jnp.where(prob > 0.5, trials - rarer, rarer)


def draw_rarer(key: jax.Array, trials: jax.Array, prob: jax.Array) -> jax.Array:
    """Draw Binomial(trials, prob) for the rarer outcome, prob <= 1/2, whose probability may be far below 1e-16.

    Arguments, returns and errors as in `draw`, with `trials` and `prob` of one shape.
    """
    if 2 * trials.size > 1 << _LANE_BITS:
        raise ValueError(f"trials must hold at most 2^23 counts for one key; got {trials.size}")
    lane = jnp.arange(trials.size, dtype=jnp.uint32).reshape(trials.shape)
    position, height = jax.random.uniform(key, (2, *trials.shape), trials.dtype)
    # Blocks below 2^24 of the key's stream serve the first attempts; retries fold numbers from there on into the key.
    keys = jnp.broadcast_to(jax.random.clone(key), trials.shape)
    return _draw_lanes(keys, lane, position, height, trials, prob)


@jax.custom_batching.custom_vmap
def _draw_lanes(keys, lane, position, height, trials, prob):
    shape = trials.shape
    keys, lane, position, height, trials, prob = (x.reshape(-1) for x in (keys, lane, position, height, trials, prob))
    live = (trials > 0) & (prob > 0)
    searched = live & (trials * prob <= _REJECTION_MEAN)
    rejected = live & ~searched
    none = jnp.zeros_like(trials)
    low = lax.cond(searched.any(), lambda: _search(position, trials, prob, searched), lambda: none)
    high = lax.cond(rejected.any(), lambda: _reject(keys, lane, position, height, trials, prob, rejected), lambda: none)
    return jnp.where(searched, low, jnp.where(rejected, high, 0.0)).reshape(shape)


@_draw_lanes.def_vmap
def _draw_lanes_batched(size, batched, *args):
    lanes = (x if b else jnp.broadcast_to(x[None], (size, *x.shape)) for x, b in zip(args, batched, strict=True))
    return _draw_lanes(*lanes), True


def _search(uniform, trials, prob, active):
    """Smallest k with P(K <= k) > uniform; inactive lanes start finished."""
    odds = prob / (1 - prob)
    mass = jnp.where(active, jnp.exp(trials * vectorised.log1p(-prob)), 0.0)
    # The mass starts above e^-14 and falls after the mode, so that a tiny mass is a spent tail. Stopping there
    # keeps the rounding of the distribution function near one from running on.
    spent = 2.0**-60

    def climb(state):
        count, mass, below, step = state
        for offset in range(_SEARCH_UNROLL):
            k = step + offset
            below = below + mass
            count = count + jnp.where((uniform >= below) & (mass > spent), 1.0, 0.0)
            mass = mass * ((trials - k) * odds * (1 / (k + 1)))
        return count, mass, below, step + _SEARCH_UNROLL

    def unfinished(state):
        _, mass, below, _ = state
        return jnp.any((uniform >= below) & (mass > spent))

    none = jnp.zeros_like(trials)
    count, *_ = lax.while_loop(unfinished, climb, (none, mass, none, jnp.zeros((), trials.dtype)))
    return jnp.minimum(count, trials)


def _reject(keys, lane, position, height, trials, prob, active):
    """Transformed rejection: one attempt for all lanes, then a stack of the rejected ones is worked off in parts.

    A lane's randomness depends on its own key, lane number and attempt alone, never on its neighbours.
    """
    num_lanes = trials.size
    part = min(num_lanes, max(num_lanes // _PARTS, 64))
    trials = jnp.where(active, trials, 40.0)  # harmless parameters for the lanes drawn elsewhere
    prob = jnp.where(active, prob, 0.5)
    law = jnp.stack([trials, prob], axis=-1)

    def push(stack, bottom, lanes, attempts, chosen):
        order = vectorised.prefix_sum(chosen.astype(trials.dtype)).astype(jnp.int32)
        slot = jnp.where(chosen, bottom + order - 1, stack.shape[0])
        entries = jnp.stack([lanes, attempts], axis=-1)
        return stack.at[slot].set(entries, mode="drop"), bottom + order[-1]

    def attempt_part(state):
        stack, top, count, passes = state
        bottom = jnp.maximum(top - part, 0)
        index, attempt = lax.dynamic_slice_in_dim(stack, bottom, part).T
        valid = bottom + place < top
        number = lane[index] + (attempt.astype(jnp.uint32) << _LANE_BITS)
        # Places of the part beyond the stack attempt for nobody, with numbers that no attempt has.
        number = jnp.where(valid, number, _IDLE + jnp.mod(passes * part + place, 1 << _LANE_BITS).astype(jnp.uint32))
        position, height = jax.vmap(_uniform_pair, out_axes=1)(keys[index], number)
        proposal, accepted = _attempt(position, height, *law[index].T)
        count = count.at[jnp.where(valid & accepted, index, num_lanes)].set(proposal, mode="drop")
        stack, top = push(stack, bottom, index, attempt + 1, valid & ~accepted)
        return stack, top, count, passes + 1

    def _uniform_pair(key, number):
        return jax.random.uniform(jax.random.fold_in(key, number), (2,), trials.dtype)

    count, accepted = _attempt(position, height, trials, prob)
    index, place = jnp.arange(num_lanes, dtype=jnp.int32), jnp.arange(part, dtype=jnp.int32)
    empty = jnp.zeros((num_lanes + part, 2), jnp.int32)
    stack, top = push(empty, jnp.int32(0), index, jnp.ones_like(index), active & ~accepted)
    return lax.while_loop(lambda state: state[1] > 0, attempt_part, (stack, top, count, jnp.int32(0)))[2]


def _attempt(position, height, trials, prob):
    """Proposal of BTRS from two uniforms, and whether it is accepted."""
    position = position - 0.5
    mean = trials * prob
    deviation = jnp.sqrt(mean * (1 - prob))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * prob
    edge = 0.5 - jnp.abs(position)
    proposal = jnp.floor((2 * a / edge + b) * position + mean + 0.5)
    count = jnp.clip(proposal, 0, trials)
    hat = (2.83 + 5.1 / b) * deviation / (a / (edge * edge) + b)
    return count, (count == proposal) & (height * hat <= jnp.exp(_log_mass_ratio(count, trials, prob)))


def _log_mass_ratio(count, trials, prob):
    """log of P(K = count) / P(K = mode), by Stirling's formula about the mode.

    The naive difference of logarithms loses log10(trials) digits; here every term is about count - mode times a
    number known to a few ulps, so that the error stays below 8 * 2^-52 * |count - mode|: 1e-8 at 1e12 trials.
    """
    mode = jnp.floor((trials + 1) * prob)
    shift = count - mode
    slope = vectorised.log(prob / (1 - prob) * ((trials - mode + 1) / (mode + 1)))
    successes = (count + 0.5) * vectorised.log1p(shift / (mode + 1))
    failures = (trials - count + 0.5) * vectorised.log1p(-shift / (trials - mode + 1))
    at_mode = _stirling_series(mode) + _stirling_series(trials - mode)
    at_count = _stirling_tail(count) + _stirling_tail(trials - count)
    return shift * slope - successes - failures + at_mode - at_count


def _stirling_tail(k):
    """log k! - [(k + 1/2) log(k + 1) - (k + 1) + log(2 pi)/2], k = 0, 1, 2, ..

    Selections stay vector code where a gather from the table of the first ten would not.
    """
    tail = _stirling_series(k)
    for i in range(10):
        exact = math.lgamma(i + 1) - (i + 0.5) * math.log(i + 1) + (i + 1) - 0.5 * math.log(2 * math.pi)
        tail = jnp.where(k == i, exact, tail)
    return tail


def _stirling_series(k):
    """Stirling's series for the tail, to 1e-14 for k >= 10."""
    inverse = 1 / (k + 1)
    square = inverse * inverse
    series = 1 / 1680 - square / 1188
    for coefficient in (1 / 1260, 1 / 360, 1 / 12):
        series = coefficient - square * series
    return inverse * series
