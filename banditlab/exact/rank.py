"""The exact law of what noiseless reward distillation has learnt on a tabular bandit (docs/theory.md, Proposition 25).

One context, A actions whose features are affinely independent (rank A - 1): the differences of a set of pairs span
everything iff the graph of the pairs is connected, and what is known after any set of pairs depends on the partition
of the actions into connected components alone. So the learner is a Markov chain on partitions, whose transitions are
inclusion-exclusion over the partitions in between: no sampling, no asymptotics.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from banditlab import validation

# Bell(7) = 877 partitions; the table of transitions is square in them.
MAX_ACTIONS = 7


class RankLaw(NamedTuple):
    """The law over the partitions of A actions into components, finest first.

    Attributes:
        blocks: (P, A) integers, the component of every action, numbered by first appearance.
        ranks: (P,) of the differences seen: A minus the number of components.
        params: (P, d) theta of a learner that has seen just these components.
        probs: (num_rounds + 1, P) probability of the components after each round, the first row before any.
    """

    blocks: np.ndarray
    ranks: np.ndarray
    params: np.ndarray
    probs: np.ndarray

    @property
    def recovered(self) -> np.ndarray:
        """(num_rounds + 1,) probability that the rank is A - 1, so that theta = theta* exactly."""
        return self.probs[:, self.ranks == self.ranks.max()].sum(axis=1)


def rank_law(
    features: np.ndarray,
    target: np.ndarray,
    start: np.ndarray,
    num_pairs: float,
    num_rounds: int,
    *,
    on_policy: bool,
    log_base: np.ndarray | float = 0.0,
) -> RankLaw:
    """The law of pooled noiseless reward distillation, `num_pairs` pairs a round from pi_k x pi_k or pi_0 x pi_0.

    With U the span of the differences seen so far, theta = theta_0 + P_U (theta* - theta_0) (minimum change), and
    P(all pairs of a batch stay within the blocks of Q) = (sum over its blocks B of pi(B)^2)^n.

    Args:
        features: (A, A - 1) of the one context. target, start: (A - 1,) theta* and theta_0.
        log_base: (A,) log of the measure that pi_theta tilts, up to a constant; flat by default.

    Raises:
        ValueError: unless there are at most 7 actions and A - 1 features whose differences have rank A - 1.
    """
    num_pairs = validation.whole("num_pairs", num_pairs)
    num_rounds = int(validation.whole("num_rounds", num_rounds))
    features = np.asarray(features, dtype=float)
    num_actions = len(features)
    if num_actions > MAX_ACTIONS:
        raise ValueError(f"features must be of at most {MAX_ACTIONS} actions; got {num_actions}")
    rank = np.linalg.matrix_rank(features - features[:1]) if features.ndim == 2 else 0
    if not features.shape[1:] == (num_actions - 1,) == (rank,):
        raise ValueError(f"features must be (A, A - 1), differences of rank A - 1; got {features.shape}, rank {rank}")
    target, start = (validation.array(*named, (num_actions - 1,)) for named in (("target", target), ("start", start)))
    blocks = partitions(num_actions)
    sizes = blocks.max(axis=1) + 1
    params = np.stack([start + _seen(features, row) @ (target - start) for row in blocks])
    sampling = params if on_policy else np.broadcast_to(start, params.shape)
    logits = log_base + np.einsum("ad,pd->pa", features, sampling)
    policies = np.exp(logits - logits.max(axis=1, keepdims=True))
    policies /= policies.sum(axis=1, keepdims=True)
    member = np.eye(num_actions)[blocks]  # (P, A, block)
    within = np.einsum("pa,qab->pqb", policies, member)
    inside = np.sum(within**2, axis=2)  # (P, Q) mass of the pairs from the policy at P that stay within Q
    finer = refines(blocks)
    # At most Q after a batch; one Moebius inversion from the finest partition on turns it into exactly Q.
    at_most = np.where(finer, inside**num_pairs, 0.0)
    transitions = np.linalg.solve(finer.T.astype(float), at_most.T).T
    transitions = np.where(finer, np.maximum(transitions, 0.0), 0.0)  # below zero by rounding only
    probs = [np.eye(len(blocks))[0]]
    for _ in range(num_rounds):
        probs.append(probs[-1] @ transitions)
    return RankLaw(blocks, num_actions - sizes, params, np.stack(probs))


def spanning_probability(pair_law: np.ndarray, num_pairs: float) -> float:
    """P(the graph of `num_pairs` pairs from the law (A, A) is connected), by inclusion-exclusion over partitions.

    sum over partitions P of (-1)^{|P|-1} (|P|-1)! mu(pairs within the blocks of P)^n, |P| the number of blocks.
    """
    law = np.asarray(pair_law)
    blocks = partitions(len(law))
    together = blocks[:, :, None] == blocks[:, None, :]
    inside = np.einsum("pij,ij->p", together, law)
    sizes = blocks.max(axis=1) + 1
    signs = np.asarray([1.0, *np.cumprod(-np.arange(1.0, len(law)))])
    return float(np.sum(signs[sizes - 1] * inside**num_pairs))


def partitions(num_actions: int) -> np.ndarray:
    """(Bell(A), A) all partitions of 0..A-1 as block numbers by first appearance, finest first."""
    rows = [[0]]
    for _ in range(num_actions - 1):
        rows = [[*row, block] for row in rows for block in range(max(row) + 2)]
    return np.asarray(sorted(rows, key=lambda row: -max(row)))


def refines(blocks: np.ndarray) -> np.ndarray:
    """(P, P) bool: every block of partition p lies within a block of partition q."""
    together = (blocks[:, :, None] == blocks[:, None, :]).reshape(len(blocks), -1)
    return ~np.any(together[:, None, :] & ~together[None, :, :], axis=2)


def _seen(features: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Orthogonal projection (d, d) onto the differences within the blocks (A,) of features (A, d)."""
    first = np.asarray([int(np.argmax(blocks == block)) for block in blocks])
    differences = features - features[first]
    basis = np.linalg.svd(differences.T, full_matrices=False)[0][:, : len(blocks) - blocks.max() - 1]
    return basis @ basis.T
