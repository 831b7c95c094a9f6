"""The span of the within-context differences of features, and tables that lie in it (NumPy, at the door)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

# A direction is lost from the span of the differences below this singular value relative to the
# largest: the float64 rounding of the singular values themselves, with a margin of 50.
_RANK_TOLERANCE = 50 * np.finfo(np.float64).eps
# Covariances and informations are sums of squares of the differences, and lose the direction of a singular value s,
# relative to the largest, to rounding of size eps / s^2: at so many roots of eps that is 0.4%.
_ROOTS_OF_ROUNDING = 16


def basis(features: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Orthonormal basis (d, rank) of the span of within-context differences on `support` (S, A) bool.

    The identity when the rank is d, so that full-rank problems keep their own coordinates.
    """
    anchors = features[np.arange(len(features)), support.argmax(axis=1)]
    differences = (features - anchors[:, None, :])[support]
    scale = np.abs(differences).max(initial=0.0)
    if scale == 0.0:
        return np.zeros((features.shape[-1], 0))
    rank, directions = _row_space(differences / scale)
    if rank == features.shape[-1]:
        return np.eye(rank)
    # Features on a small scale count as much as the others: of one size, they may show more.
    sizes = np.abs(differences).max(axis=0)
    shown, _ = _row_space(differences / np.where(sizes > 0, sizes, 1.0))
    if shown == features.shape[-1]:
        return np.eye(features.shape[-1])
    if shown > rank:
        raise ValueError(
            f"features must be on one scale where some repeat others; got differences of {sizes[sizes > 0].min():.3g} "
            f"beside others of {sizes.max():.3g}"
        )
    return directions[:rank].T


def _row_space(differences: np.ndarray) -> tuple[int, np.ndarray]:
    """The numerical rank of differences (N, d), and their right singular vectors as rows."""
    _, singular_values, directions = np.linalg.svd(differences, full_matrices=False)
    least = _RANK_TOLERANCE * max(differences.shape) ** 0.5 * singular_values[0]
    return int((singular_values > least).sum()), directions


def unresolved(features: np.ndarray, support: np.ndarray, spanning: np.ndarray, eps: float) -> int:
    """Number of directions of the differences' span that rounding at unit roundoff `eps` decides in their squares.

    `spanning` (d, rank) is the `basis`; its coordinates are scaled to one size first, since factorisations are as
    exact for graded matrices.
    """
    coordinates = _centred(np.ldexp(features, -_exponent(features)), support) @ spanning
    sizes = np.linalg.norm(coordinates, axis=0)
    if not coordinates.size:
        return 0
    singular_values = np.linalg.svd(coordinates / sizes, compute_uv=False)
    return int((singular_values <= _ROOTS_OF_ROUNDING * eps**0.5 * singular_values[0]).sum())


def best_fits(
    features: np.ndarray,
    tables: Sequence[np.ndarray],
    magnitudes: Sequence[np.ndarray],
    support: np.ndarray,
    eps: float,
) -> list[tuple[np.ndarray, float]]:
    """For each table (S, A): the shortest theta (d,) whose phi theta is nearest to it up to c(x), and what it misses.

    Nearest in the sum of squares over `support` (S, A) bool; features are (S, A, d). What it misses is the largest
    |table - phi theta - c(x)| there, and zero where the rounding of the least squares at unit roundoff `eps` explains
    it: a backward stable solver errs like data that are off by 4 max(S A, d) eps of their norms, and the tables come
    with the magnitudes (S, A) of what they are sums of.
    """
    # Powers of two change no digit; without them sums and squares of the largest numbers overflow.
    power = _exponent(features)
    powers = np.asarray([_exponent(table) for table in tables])
    matrix = _centred(np.ldexp(features, -power), support)
    scaled = [np.ldexp(table, -exponent) for table, exponent in zip(tables, powers, strict=True)]
    columns = np.stack([_centred(table[..., None], support)[:, 0] for table in scaled], axis=1)
    if not matrix.size or not np.any(columns):
        missed = np.ldexp(np.abs(columns).max(axis=0, initial=0.0), powers)
        return [(np.zeros(features.shape[-1]), float(most)) for most in missed]
    params, _, _, singular_values = np.linalg.lstsq(matrix, columns, rcond=_RANK_TOLERANCE * max(matrix.shape) ** 0.5)
    missed = np.abs(columns - matrix @ params).max(axis=0)
    sizes = singular_values[0] * np.linalg.norm(params, axis=0)
    sizes += [
        np.linalg.norm(np.where(support, np.ldexp(size, -exponent), 0.0))
        for size, exponent in zip(magnitudes, powers, strict=True)
    ]
    rounding = 4 * max(matrix.shape) * eps * sizes
    missed = np.ldexp(np.where(missed <= rounding, 0.0, missed), powers)
    with np.errstate(over="ignore"):
        return list(zip(np.ldexp(params, powers - power).T + 0.0, missed.tolist(), strict=True))


def membership(given: dict[str, Any], eps: float) -> dict[str, Any]:
    """What an environment's checked arrays say of its class, at unit roundoff `eps`: the fields that follow."""
    reference, base, features = given["log_reference"], given["log_base"], given["features"]
    possible = given["context_probs"][:, None] > 0
    played, allowed = possible & np.isfinite(reference), possible & np.isfinite(base)
    both = played & allowed
    offsets = np.where(both, reference, 0.0) - np.where(both, base, 0.0)
    if not np.any(offsets) and given["target_params"] is not None:
        start, missed, residual = np.zeros(features.shape[-1]), 0.0, 0.0
    else:
        reward = given["given_reward"]
        reward = given["beta"] * (features @ given["target_params"]) if reward is None else reward
        tilted = reward + given["beta"] * offsets
        size = np.where(both, np.abs(reference), 0.0) + np.where(both, np.abs(base), 0.0)
        sizes = (size, np.abs(reward) + given["beta"] * size)
        fits = best_fits(features, (offsets, tilted), sizes, both, eps)
        (start, missed), (_, residual) = fits
    missed = missed if np.array_equal(played, allowed) else np.inf
    lost = (played & ~both).any()
    found = {"reference_missed": missed, "residual": np.inf if lost else residual}
    return {"reference_params": start} | {name: np.float64(value) for name, value in found.items()}


def _exponent(values: np.ndarray) -> int:
    """The least k with |values| < 2^k; 0 of no or zero values."""
    return int(np.frexp(np.abs(values).max(initial=0.0))[1])


def _centred(values: np.ndarray, support: np.ndarray) -> np.ndarray:
    """(N, k) the entries of values (S, A, k) on `support`, less their context's mean there."""
    counts = np.maximum(support.sum(axis=1), 1)[:, None, None]
    means = np.where(support[..., None], values, 0.0).sum(axis=1, keepdims=True) / counts
    return (values - means)[support]
