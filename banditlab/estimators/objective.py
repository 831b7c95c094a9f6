"""The convex objective sum_x,i,j W[x,i,j] loss(h_ij) of a linear policy, in two equivalent layouts.

With u = phi w + log_base - log_reference the margin of "i beats j" is h_ij = beta (u_i - u_j). I7 gives
gradient and Hessian at a cost that does not depend on the number of labels. `PairForm` lists the unordered
differences, so that a batch of seeds shares them in matrix products; `LaplacianForm` never forms them and
wins once there are more than a few hundred.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from banditlab import losses
from banditlab.environment import Environment
from banditlab.losses import Loss, derivatives, pair_derivatives
from banditlab.numerics import graphs, linalg

# Above this many ordered cells S A^2 the (pairs, rank^2) products outweigh the two thin products of I7.
PAIR_FORM_LIMIT = 2048


class PairForm(NamedTuple):
    """Unordered pairs {i, j} as rows; the second outcome of a pair has margin -h.

    Attributes:
        differences: (P, r) beta (phi_i - phi_j).
        products: (P, r(r+1)/2) upper triangles of their outer products.
        offsets: (P,) beta times the difference of log_base - log_reference.
        wins: (2, P) W_ij and W_ji.
        targets: (2, P) regression targets of the two outcomes, or None.
    """

    differences: Array
    products: Array
    offsets: Array
    wins: Array
    targets: Array | None

    @property
    def observed(self) -> Array:
        """(P,) whether the pair was labelled at all."""
        return self.wins[0] + self.wins[1] > 0

    def margins(self, coordinates: Array) -> Array:
        return self.change(coordinates) + self.offsets

    def change(self, direction: Array) -> Array:
        """(P,) change of the margins along `direction` (r,)."""
        return jnp.einsum("r,pr->p", direction, self.differences)

    def derivatives(self, loss: Loss, margins: Array) -> tuple[Array, Array]:
        """Gradient (r,) and Hessian (r, r) of the sum of losses at margins (P,)."""
        targets = () if self.targets is None else (self.targets[0], self.targets[1])
        slopes, bends = pair_derivatives(loss, margins, (self.wins[0], self.wins[1]), targets)
        rank = self.differences.shape[-1]
        upper = jnp.einsum("p,pk->k", bends, self.products)
        rows, columns = np.triu_indices(rank)
        position = np.zeros((rank, rank), int)
        position[rows, columns] = position[columns, rows] = np.arange(len(rows))
        return jnp.einsum("p,pr->r", slopes, self.differences), upper[position]

    def sizes(self, loss: Loss, margins: Array, hessian: Array) -> Array:
        """(r,) sizes of the terms of the Hessian's diagonal, positive ones: a few roundings of them are its error."""
        return jnp.diagonal(hessian)

    def pull(self, loss: Loss, margins: Array) -> Array:
        """What a gradient is small against, (): over labels, its norm now and how it changes over one unit of h."""
        targets = [()] * 2 if self.targets is None else [(target,) for target in self.targets]
        weights = jnp.zeros_like(margins)
        for wins, h, target in zip(self.wins, (margins, -margins), targets, strict=True):
            weights += jnp.where(wins > 0, wins * _size(derivatives(loss, h, *target)), 0.0)
        return jnp.sum(weights * jnp.linalg.norm(self.differences, axis=-1))

    def resolved(self, loss: Loss, margins: Array) -> Array:
        """() whether every label has a slope and a curvature that are its own, not kept from underflow."""
        return _resolved(loss, margins, self.observed)

    def worst_margin(self, margins: Array) -> Array:
        """The smallest margin of an observed outcome; +inf without any."""
        first = jnp.where(self.wins[0] > 0, margins, jnp.inf)
        second = jnp.where(self.wins[1] > 0, -margins, jnp.inf)
        return jnp.minimum(jnp.min(first, initial=jnp.inf), jnp.min(second, initial=jnp.inf))

    def largest_leverage(self, rows: Array) -> Array:
        """max over observed pairs of ||rows (beta z)||^2, for whitening rows (r, r)."""
        whitened = jnp.einsum("sr,pr->ps", rows, self.differences)
        return jnp.max(jnp.where(self.observed, jnp.sum(whitened**2, axis=-1), 0.0), initial=0.0)


class LaplacianForm(NamedTuple):
    """Ordered cells as (S, A, A) tables; every quantity is a product with the weighted graph's Laplacian.

    Attributes:
        features: (S, A, r) beta phi less that of one action of every component of the labelled pairs' graph.
        node_offsets: (S, A) beta (log_base - log_reference).
        wins: (S, A, A), zero on the diagonal.
        targets: (S, A, A) or None.
    """

    features: Array
    node_offsets: Array
    wins: Array
    targets: Array | None

    @property
    def observed(self) -> Array:
        """(S, A, A) whether the pair was labelled, in either outcome."""
        return self.wins + jnp.swapaxes(self.wins, 1, 2) > 0

    def margins(self, coordinates: Array) -> Array:
        return self.change(coordinates) + _node_gaps(self.node_offsets)

    def change(self, direction: Array) -> Array:
        """(S, A, A) change of the margins along `direction` (r,)."""
        return _node_gaps(jnp.einsum("r,xar->xa", direction, self.features))

    def derivatives(self, loss: Loss, margins: Array) -> tuple[Array, Array]:
        """Gradient (r,) and Hessian (r, r): phi' g and phi' (diag(K 1) - K) phi (I7)."""
        first, second = derivatives(loss, margins, *(() if self.targets is None else (self.targets,)))
        slopes = self.wins * first
        flow = jnp.sum(slopes, axis=2) - jnp.sum(slopes, axis=1)
        bends = self.wins * second
        edges = bends + jnp.swapaxes(bends, 1, 2)
        degrees = jnp.sum(edges, axis=2)
        applied = degrees[..., None] * self.features - jnp.einsum("xij,xjr->xir", edges, self.features)
        return jnp.einsum("xa,xar->r", flow, self.features), jnp.einsum("xar,xas->rs", self.features, applied)

    def sizes(self, loss: Loss, margins: Array, hessian: Array) -> Array:
        """As in `PairForm`; the two products of I7 cancel."""
        del hessian
        edges = self.wins * jnp.abs(derivatives(loss, margins, *(() if self.targets is None else (self.targets,)))[1])
        degrees = jnp.sum(edges, axis=2) + jnp.sum(edges, axis=1)
        return 2.0 * jnp.einsum("xa,xar->r", degrees, self.features**2)

    def pull(self, loss: Loss, margins: Array) -> Array:
        """As in `PairForm`, with the triangle inequality between the two nodes of a pair."""
        size = _size(derivatives(loss, margins, *(() if self.targets is None else (self.targets,))))
        weights = jnp.where(self.wins > 0, self.wins * size, 0.0)
        nodes = jnp.sum(weights, axis=2) + jnp.sum(weights, axis=1)
        return jnp.sum(nodes * jnp.linalg.norm(self.features, axis=-1))

    def resolved(self, loss: Loss, margins: Array) -> Array:
        """As in `PairForm`."""
        return _resolved(loss, margins, self.observed)

    def worst_margin(self, margins: Array) -> Array:
        """The smallest margin of an observed outcome; +inf without any."""
        return jnp.min(jnp.where(self.wins > 0, margins, jnp.inf))

    def largest_leverage(self, rows: Array) -> Array:
        """max over observed pairs of ||rows (beta z)||^2, from the per-context Gram table."""
        whitened = jnp.einsum("sr,xar->xas", rows, self.features)
        gram = jnp.einsum("xas,xbs->xab", whitened, whitened)
        square = jnp.einsum("xaa->xa", gram)
        table = square[:, :, None] + square[:, None, :] - 2 * gram
        return jnp.max(jnp.where(self.observed, table, 0.0))


Objective = PairForm | LaplacianForm


def build(env: Environment, wins: Array, target: Array | None) -> Objective:
    """The objective of a win matrix (S, A, A) and optional regression targets (S, A, A), in the cheaper layout.

    Outcomes that involve an action outside the support of the reference or of the class have no finite
    margin and carry no weight.
    """
    comparable = jnp.isfinite(env.log_reference) & jnp.isfinite(env.log_base)
    offsets = jnp.where(comparable, env.log_base, 0.0) - jnp.where(comparable, env.log_reference, 0.0)
    both = comparable[:, :, None] & comparable[:, None, :] & ~jnp.eye(env.num_actions, dtype=bool)[None]
    wins = jnp.where(both, wins, 0.0)
    if env.num_contexts * env.num_actions**2 > PAIR_FORM_LIMIT:
        return LaplacianForm(
            env.beta * graphs.anchored(env.reduced_features, wins > 0), env.beta * offsets, wins, target
        )
    differences = env.beta * _one_of_each_pair(_node_gaps(env.reduced_features)).reshape(-1, env.rank)
    rows, columns = np.triu_indices(env.rank)
    return PairForm(
        differences=differences,
        products=differences[:, rows] * differences[:, columns],
        offsets=env.beta * _one_of_each_pair(_node_gaps(offsets)).reshape(-1),
        wins=_both_outcomes(wins),
        targets=None if target is None else _both_outcomes(target),
    )


def whitening(hessian: Array) -> tuple[Array, Array]:
    """Rows R with R H R' = I, and whether H is invertible to rounding."""
    rows, in_range = linalg.inverse_root(hessian)
    return rows, jnp.all(in_range)


def _resolved(loss: Loss, margins: Array, observed: Array) -> Array:
    if loss is not losses.dpo:
        return jnp.ones((), bool)
    return jnp.all(~observed | (jnp.abs(margins) <= losses.largest_margin(margins.dtype)))


def _size(slope_and_bend: tuple[Array, Array]) -> Array:
    return jnp.abs(slope_and_bend[0]) + jnp.abs(slope_and_bend[1])


def _node_gaps(nodes: Array) -> Array:
    """(S, A, A, ...) differences within a context of nodes (S, A, ...)."""
    return nodes[:, :, None] - nodes[:, None, :]


def _both_outcomes(table: Array) -> Array:
    """(2, P) entries (i, j) and (j, i) of a table (S, A, A), one column a pair."""
    return _one_of_each_pair(jnp.stack([table, jnp.swapaxes(table, 1, 2)], axis=3)).reshape(-1, 2).T


def _one_of_each_pair(table: Array) -> Array:
    """(S, A(A-1)/2, ...) entries (i, i + k mod A) of (S, A, A, ...), k = 1, 2, ...: every unordered pair once.

    Read off the table written one and a half times side by side, in rows one longer than that: slices of whole
    tables, where a gather would cost more than the fit and a slice per row more compilation than all the rest.
    """
    contexts, actions, rest = table.shape[0], table.shape[1], table.shape[3:]
    width = actions + actions // 2
    wrapped = jnp.concatenate([table, table[:, :, : actions // 2]], axis=2).reshape(contexts, actions * width, *rest)
    padded = jnp.concatenate([wrapped, jnp.zeros((contexts, actions, *rest), table.dtype)], axis=1)
    shifted = padded.reshape(contexts, actions, width + 1, *rest)
    whole = (actions - 1) // 2
    pairs = shifted[:, :, 1 : whole + 1].reshape(contexts, actions * whole, *rest)
    if actions % 2:
        return pairs
    # Half way round, (i, i + A/2) and (i + A/2, i) are the same pair.
    return jnp.concatenate([pairs, shifted[:, : actions // 2, actions // 2]], axis=1)
