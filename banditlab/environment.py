"""The environment: a finite contextual bandit with Bradley-Terry preferences, as a frozen pytree."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import validation
from banditlab.store.files import write_atomically

# A direction is lost from the span of the differences below this singular value relative to the
# largest: the float64 rounding of the singular values themselves, with a margin of 50.
_RANK_TOLERANCE = 50 * np.finfo(np.float64).eps
# What `Environment.save` keeps; the basis follows from it.
_SAVED = (
    "features",
    "context_probs",
    "log_reference",
    "log_base",
    "beta",
    "initial_params",
    "target_params",
    "given_reward",
    "context_inputs",
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Environment:
    """A contextual bandit with S contexts, A actions and d features; build it with `Environment.create`.

    The policy class is `pi_theta ∝ exp(log_base + phi theta)`. With `log_base = log_reference` it is the
    linear softmax around the reference; with zeros it is the free softmax.

    Attributes (leading axes may be added by `jax.vmap`):
        features: (S, A, d) phi(x, y).
        context_probs: (S,) rho.
        log_reference: (S, A) log pi_ref, -inf where pi_ref has no support.
        log_base: (S, A) log base measure of the policy class.
        beta: () KL temperature of the objective J and of the implicit reward.
        difference_basis: (d, rank) orthonormal basis of the span of the within-context feature
            differences; the identity when they span everything.
        initial_params: (d,) parameters of the first sampling policy, or None: pi_0 = pi_ref.
        target_params: (d,) theta*, when the reward was given as `beta phi theta*`, else None.
        given_reward: (S, A) the reward, when it was given as a table, else None.
        context_inputs: (S, p) inputs of neural policies, or None.
    """

    features: Array
    context_probs: Array
    log_reference: Array
    log_base: Array
    beta: Array
    difference_basis: Array
    initial_params: Array | None = None
    target_params: Array | None = None
    given_reward: Array | None = None
    context_inputs: Array | None = None

    @classmethod
    def create(
        cls,
        features: ArrayLike,
        *,
        target_params: ArrayLike | None = None,
        reward: ArrayLike | None = None,
        log_reference: ArrayLike | None = None,
        log_base: ArrayLike | None = None,
        context_probs: ArrayLike | None = None,
        beta: float = 1.0,
        initial_params: ArrayLike | None = None,
        context_inputs: ArrayLike | None = None,
        unidentified: Literal["raise", "allow"] = "raise",
    ) -> Environment:
        """Validate plain arrays and build an environment.

        Args:
            features: (S, A, d), finite.
            target_params: (d,) theta*; the reward is then `beta phi theta*`. Exactly one of this and `reward`.
            reward: (S, A), finite.
            log_reference: (S, A) log-probabilities, -inf for no support; uniform by default.
            log_base: (S, A); `log_reference` by default, zeros for the free softmax.
            context_probs: (S,), uniform by default.
            beta: positive.
            initial_params: (d,) of the first sampling policy; None means pi_0 = pi_ref.
            context_inputs: (S, p), only read by neural policies.
            unidentified: "raise" if the differences within the support of pi_ref, over contexts of
                positive probability, do not span R^d; "allow" for tabular classes.

        Raises:
            ValueError: naming the argument, what was wanted and what came.
        """
        given = validation.environment_arrays(
            features,
            target_params,
            reward,
            log_reference,
            log_base,
            context_probs,
            beta,
            initial_params,
            context_inputs,
        )
        if unidentified not in ("raise", "allow"):
            raise ValueError(f"unidentified must be 'raise' or 'allow'; got {unidentified!r}")
        phi, rho = given["features"], given["context_probs"]
        rank = span_basis(phi, rho[:, None] * np.isfinite(given["log_reference"]) > 0).shape[1]
        if rank < phi.shape[-1] and unidentified == "raise":
            raise ValueError(
                "features must be identified: within-context differences on the support of the reference must "
                f"span all {phi.shape[-1]} dimensions; they span {rank} (pass unidentified='allow' for tabular classes)"
            )
        given["difference_basis"] = span_basis(phi, rho[:, None] * np.isfinite(given["log_base"]) > 0)
        dtype = jnp.result_type(float)
        fields: dict[str, Any] = {k: None if v is None else jnp.asarray(v, dtype) for k, v in given.items()}
        return cls(**fields)

    def replace(self, **changes: ArrayLike | None) -> Environment:
        """A copy with some of `create`'s arguments changed: validated, unless a change is a traced value.

        Giving `reward` drops `target_params` and the other way round. Changing `beta` keeps whichever of
        the two was given, so with `target_params` the reward scales with beta.
        """
        if "reward" in changes:
            changes |= {"given_reward": changes.pop("reward"), "target_params": None}
        elif changes.get("target_params") is not None:
            changes["given_reward"] = None
        if unknown := set(changes) - {f.name for f in dataclasses.fields(self)} | (set(changes) & {"difference_basis"}):
            raise ValueError(f"replace takes the arguments of Environment.create; got {sorted(unknown)}")
        if not validation.is_concrete((changes, self)):
            dtype = self.features.dtype
            return dataclasses.replace(self, **jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), changes))
        kept: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)} | changes
        kept["reward"] = kept.pop("given_reward")
        del kept["difference_basis"]
        return type(self).create(**kept, unidentified="allow")

    def save(self, path: str | Path) -> None:
        """Write the environment to ``path`` as an npz of its arrays, whole or not at all; `load` gives it back.

        Raises OSError when it cannot be written, ValueError for a batch of environments or a name without ``.npz``.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"path must end in .npz; got {str(path)!r}")
        if self.features.ndim != 3:
            raise ValueError(f"save takes one environment; got leading axes {self.features.shape[:-3]}")
        values = {name: getattr(self, name) for name in _SAVED}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{k: np.asarray(v) for k, v in values.items() if v is not None})
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Environment:
        """The environment that `save` wrote, checked as by `create`.

        Raises OSError when there is no such file, ValueError when it does not hold an environment.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                given = dict(archive)
        except (ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
            raise ValueError(f"path must be a file of Environment.save; '{path}' is not an npz of arrays") from error
        if unlike := {"features"} - set(given) | set(given) - set(_SAVED):
            raise ValueError(
                f"path must be a file of Environment.save; '{path}' differs in {', '.join(sorted(unlike))}"
            )
        given["reward"] = given.pop("given_reward", None)
        return cls.create(**given, unidentified="allow")

    @property
    def num_contexts(self) -> int:
        return self.features.shape[0]

    @property
    def num_actions(self) -> int:
        return self.features.shape[1]

    @property
    def num_features(self) -> int:
        return self.features.shape[2]

    @property
    def rank(self) -> int:
        """Dimension of the span of the differences: the number of parameters that matter."""
        return self.difference_basis.shape[-1]

    @property
    def reduced_features(self) -> Array:
        """(S, A, rank) features in coordinates of the difference basis."""
        if self.rank == self.num_features:
            return self.features
        return jnp.einsum("xad,dr->xar", self.features, self.difference_basis)

    @property
    def reward(self) -> Array:
        """(S, A) the true reward r*."""
        if self.given_reward is not None:
            return self.given_reward
        return self.beta * jnp.einsum("xad,d->xa", self.features, self.target_params)

    @property
    def log_target(self) -> Array:
        """(S, A) log pi*, with pi* ∝ pi_ref e^{r*/beta} the maximiser of J."""
        return jax.nn.log_softmax(self.log_reference + self.reward / self.beta, axis=-1)

    @property
    def log_initial(self) -> Array:
        """(S, A) log pi_0, the policy that samples the first round."""
        return self.log_reference if self.initial_params is None else self.log_policy(self.initial_params)

    @property
    def start_params(self) -> Array:
        """(d,) where estimators start: `initial_params`, or zeros."""
        return jnp.zeros_like(self.features[0, 0]) if self.initial_params is None else self.initial_params

    def log_policy(self, params: Array) -> Array:
        """(S, A) log pi_theta for params (d,)."""
        return jax.nn.log_softmax(self.log_base + jnp.einsum("xad,d->xa", self.features, params), axis=-1)


def span_basis(features: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Orthonormal basis (d, rank) of the span of within-context differences on `support` (S, A) bool.

    The identity when the rank is d, so that full-rank problems keep their own coordinates.
    """
    anchors = features[np.arange(len(features)), support.argmax(axis=1)]
    differences = (features - anchors[:, None, :])[support]
    scale = np.abs(differences).max(initial=0.0)
    if scale == 0.0:
        return np.zeros((features.shape[-1], 0))
    _, singular_values, directions = np.linalg.svd(differences / scale, full_matrices=False)
    rank = int((singular_values > _RANK_TOLERANCE * max(differences.shape) ** 0.5 * singular_values[0]).sum())
    return np.eye(features.shape[-1]) if rank == features.shape[-1] else directions[:rank].T
