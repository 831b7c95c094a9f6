"""A round's batch: how many labels, who chooses the pairs, how the counts are drawn, what older batches weigh."""

from __future__ import annotations

import math
from typing import NamedTuple

from jax import Array
from jax.tree_util import Partial

from banditlab import preferences, samplers, validation
from banditlab.numerics import multinomial

# Batches up to this size may be drawn label by label; the capacity is then compiled in, rounded up to a power of
# two. Larger ones always use conditional binomials, whose code does not depend on the number of labels.
_DIRECT_LIMIT = 4096


class Branch(NamedTuple):
    """Static choices of drawing: n = inf, and the room for labels drawn one by one (None: conditional binomials)."""

    population: bool
    capacity: int | None


def size(num_pairs: float, max_pairs: float | None = None) -> tuple[float, Branch]:
    """The checked number of labels a round, and the code that draws it; `max_pairs` makes room for more.

    Raises:
        ValueError: for a number that is not whole and at least 1 (or inf), or max_pairs below num_pairs.
    """
    pairs = validation.count("num_pairs", validation.whole("num_pairs", num_pairs, infinite=True))
    most = pairs if max_pairs is None else validation.count("max_pairs", validation.whole("max_pairs", max_pairs))
    if most < pairs < math.inf:
        raise ValueError(f"max_pairs must be at least num_pairs = {pairs:g}; got {max_pairs}")
    capacity = 1 << (int(most) - 1).bit_length() if most <= _DIRECT_LIMIT else None
    return pairs, Branch(math.isinf(pairs), capacity)


def draw(key: Array, law: Array, num_pairs: Array, branch: Branch) -> Array:
    """Counts (S, A, A) of `num_pairs` draws from a law (S, A, A); the law itself for n = inf."""
    if branch.population:
        return law
    capacity = branch.capacity and multinomial.choose_capacity(branch.capacity, law.size)
    return preferences.draw_counts(key, law, num_pairs, capacity=capacity)


def memory(pooled: bool | float) -> float:
    """The weight a label keeps each time a new batch arrives: False is 0, fresh batches; True is 1, all of them.

    A number, not a branch, so that fresh and pooled share one program.

    Raises:
        ValueError: for a number outside [0, 1].
    """
    if not 0 <= float(pooled) <= 1:
        raise ValueError(f"pooled must be True, False or a weight between 0 and 1; got {pooled}")
    return float(pooled)


def as_sampler(sampler: samplers.Sampler | samplers.Prepared) -> Partial | samplers.Prepared:
    """A plain function as a pytree without leaves."""
    return sampler if isinstance(sampler, Partial | samplers.Prepared) else Partial(sampler)
