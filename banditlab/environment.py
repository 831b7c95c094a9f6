"""The environment: a finite contextual bandit with Bradley-Terry preferences, as a frozen pytree."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import ArrayLike

from banditlab import environment_arrays, validation
from banditlab.door import AnyTable, Params, door
from banditlab.numerics import span

__all__ = ["Environment"]

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
# What `create` works out from the others.
_DERIVED = ("difference_basis", "reference_params", "reference_missed", "residual")


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
        reference_params: (d,) the parameters of pi_ref, or of the nearest in the class; zeros for the linear softmax.
        reference_missed: () by how much these miss log pi_ref: 0 in the class, inf where the supports differ.
        residual: () how far pi* is from the class, in reward: the largest within-context error of the least-squares
            fit of beta (phi theta + log_base) to r* + beta log_reference on the support of pi_ref.
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
    reference_params: Array | None = None
    reference_missed: Array | None = None
    residual: Array | None = None

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
                positive probability, do not span R^d; "allow" for tabular classes. Either refuses features that are
                nearly collinear: with each feature's differences scaled to one size, a singular value below
                16 sqrt(eps) of the largest, where rounding would decide covariances.

        Raises:
            ValueError: naming the argument, what was wanted and what came.
        """
        given = environment_arrays.checked(
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
        dtype = jnp.result_type(float)
        given["difference_basis"] = environment_arrays.spanning(given, unidentified, dtype)
        given |= span.membership(given, float(jnp.finfo(dtype).eps))
        fields: dict[str, Any] = {k: None if v is None else jnp.asarray(v, dtype) for k, v in given.items()}
        return cls(**fields)

    def replace(self, **changes: ArrayLike | None) -> Environment:
        """A copy with some of `create`'s arguments changed: validated, unless a change is a traced value.

        Giving `reward` drops `target_params` and the other way round; with `target_params` the reward scales with beta.
        A linear softmax around pi_ref stays one around a new `log_reference`; a free softmax keeps its `log_base`.

        Raises:
            ValueError: naming the argument; for a traced change also where only values could tell what follows from it.
        """
        if "reward" in changes:
            changes |= {"given_reward": changes.pop("reward"), "target_params": None}
        elif changes.get("target_params") is not None:
            changes["given_reward"] = None
        if unknown := set(changes) - ({f.name for f in dataclasses.fields(self)} - set(_DERIVED)):
            raise ValueError(f"replace takes the arguments of Environment.create; got {sorted(unknown)}")
        if not validation.is_concrete((changes, self)):
            return self._traced_replace(changes)
        if "log_base" not in changes and np.array_equal(self.log_base, self.log_reference):
            changes["log_base"] = None
        kept: dict[str, Any] = {name: getattr(self, name) for name in _SAVED} | changes
        kept["reward"] = kept.pop("given_reward")
        return type(self).create(**kept, unidentified="allow")

    def _traced_replace(self, changes: dict[str, Any]) -> Environment:
        """`replace` where a change or a field has no value yet: what follows from values is kept, or unknown (None)."""
        dtype, known = self.features.dtype, validation.is_concrete((self.log_base, self.log_reference))
        linear = known and np.array_equal(self.log_base, self.log_reference)
        if "log_reference" in changes and "log_base" not in changes:
            if not known:
                raise ValueError(
                    "log_base must be given with log_reference where the environment is traced; got neither"
                )
            if linear:
                changes["log_base"] = changes["log_reference"]
        follows = changes["log_base"] is changes.get("log_reference") if "log_base" in changes else linear
        if {"features", "log_reference", "log_base", "context_probs"} & set(changes) and not follows:
            changes |= {"reference_params": None, "reference_missed": None}
        if set(changes) - {"initial_params", "context_inputs"}:
            changes["residual"] = None
        return dataclasses.replace(self, **jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), changes))

    def save(self, path: str | Path) -> None:
        """Write the environment to ``path`` as an npz of its arrays, whole or not at all; `load` gives it back.

        Raises OSError when it cannot be written, ValueError for a batch of environments or a name without ``.npz``.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"path must end in .npz; got {str(path)!r}")
        if self.features.ndim != 3:
            raise ValueError(f"save takes one environment; got leading axes {self.features.shape[:-3]}")
        environment_arrays.write(Path(path), {name: getattr(self, name) for name in _SAVED})

    @classmethod
    def load(cls, path: str | Path) -> Environment:
        """The environment that `save` wrote, checked as by `create`; OSError, or ValueError for another file."""
        given: dict[str, Any] = environment_arrays.read(Path(path), _SAVED)
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
        """(d,) where estimators start, the parameters of pi_0: `initial_params`, or those of pi_ref.

        Raises:
            ValueError: if neither is there, because pi_ref has no parameters in the class (not where it is traced).
        """
        if self.initial_params is not None:
            return self.initial_params
        if self.reference_params is None or not self.holds_reference:
            raise ValueError(
                "env must have initial_params: pi_ref is not in its policy class pi_theta ∝ exp(log_base + phi theta), "
                "or was changed inside a transformation, so that no parameters are known to start from it"
            )
        return self.reference_params

    @property
    def optimal_params(self) -> Array:
        """(d,) of pi*, which tilts pi_ref by `target_params`; ValueError if either has none in the class."""
        if self.target_params is None:
            raise ValueError("env must be created with target_params for this; got a reward table")
        if self.reference_params is None or not self.holds_reference:
            raise ValueError("env must hold pi_ref in its policy class, so that theta* is known; it does not")
        return self.reference_params + self.target_params

    @property
    def holds_reference(self) -> bool:
        """Whether pi_ref is in the policy class, as far as is known: a traced environment does not tell."""
        return self.reference_missed is None or not (
            validation.is_concrete(self.reference_missed) and np.any(np.asarray(self.reference_missed) > 0)
        )

    @property
    def realizable(self) -> bool:
        """Whether pi* is in the policy class on the support of pi_ref; for an environment with values."""
        if self.residual is None:
            raise ValueError("residual must be known; env was changed inside a transformation or built field by field")
        return float(self.residual) == 0.0

    @door
    def around(self: Environment, log_reference: AnyTable) -> Environment:
        """The linear softmax of these features around another reference (S, A), a traced one too, started there."""
        zeros = jnp.zeros(self.features.shape[-1:], self.features.dtype)
        return dataclasses.replace(
            self,
            log_base=log_reference,
            log_reference=log_reference,
            initial_params=None,
            reference_params=zeros,
            reference_missed=jnp.zeros_like(zeros, shape=()),
            residual=None,
        )

    @door
    def log_policy(self: Environment, params: Params) -> Array:
        """(S, A) log pi_theta for params (d,)."""
        return jax.nn.log_softmax(self.log_base + jnp.einsum("xad,d->xa", self.features, params), axis=-1)

    def __repr__(self) -> str:
        if self.features.ndim != 3 or not validation.is_concrete(self):
            return f"Environment(features={self.features!r}, ...)"
        linear = np.array_equal(self.log_base, self.log_reference)
        sizes = f"{self.num_contexts} contexts, {self.num_actions} actions, {self.num_features} features"
        kind = "linear softmax around pi_ref" if linear else "free softmax"
        residual = "unknown" if self.residual is None else f"{float(self.residual):.3g}"
        return f"Environment({sizes} of rank {self.rank}, beta {float(self.beta):.6g}, {kind}, residual {residual})"


def __dir__() -> list[str]:
    return __all__
