"""What the fuzzer's expressions mean; the expressions themselves are in fuzz_values.toml.

An argument is a text: `wins(LINEAR)`, `poke(law(LINEAR), nan)`. So a call can be printed, sent to another process and
repeated. `{E}` stands for the environment of the call, one of six of two shapes, so that programs are shared.
"""

import functools
import math
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import banditlab as bl
from banditlab.didactic import pairs, policies, problem, settings

nan, inf = math.nan, math.inf
_LISTED = tomllib.loads((Path(__file__).parent / "fuzz_values.toml").read_text())
HOSTILE: dict[str, list[str]] = _LISTED["hostile"]
FEATURES = np.random.default_rng(0).standard_normal((3, 4, 2))
REFERENCE = np.log(np.random.default_rng(1).dirichlet(np.ones(4), 3))
MISSING_MASS = np.log([[0.5, 0.5, 1.0, 1.0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
MISSING_MASS[0, 2:] = -inf
LINEAR_CHANGES = {
    "LINEAR": {},
    "FREE": {"log_base": np.random.default_rng(2).standard_normal((3, 4)), "initial_params": [0.1, -0.2]},
    "IMPOSSIBLE": {"context_probs": [0.0, 0.3, 0.7]},
    "MISSING": {"log_reference": MISSING_MASS},
    "DEFICIENT": {"features": FEATURES[..., :1] * np.asarray([1.0, 2.0]), "unidentified": "allow"},
}
ENVIRONMENTS = ("CHAIN", *LINEAR_CHANGES)
FOLDER = Path(tempfile.gettempdir())


@functools.cache
def environment(name: str) -> bl.Environment:
    """One of the six: (1, 2, 1), or (3, 4, 2) features."""
    if name == "CHAIN":
        return bl.instances.chain()
    arguments = {"features": FEATURES, "target_params": [1.0, -0.5], "log_reference": REFERENCE, "beta": 0.7}
    arguments |= LINEAR_CHANGES[name]
    return bl.Environment.create(arguments.pop("features"), **arguments)


def policy(env: bl.Environment, seed: int = 0) -> np.ndarray:
    """(S, A) random log-probabilities."""
    rng = np.random.default_rng(seed)
    return np.log(rng.dirichlet(np.ones(env.num_actions), env.num_contexts))


def law(env: bl.Environment) -> np.ndarray:
    """(S, A, A) a random law over pairs, self-pairs included."""
    S, A = env.num_contexts, env.num_actions
    return np.random.default_rng(0).dirichlet(np.ones(S * A * A)).reshape(S, A, A)


def wins(env: bl.Environment) -> np.ndarray:
    """(S, A, A) random counts."""
    S, A = env.num_contexts, env.num_actions
    return np.random.default_rng(0).integers(0, 9, (S, A, A)) * 1.0


def table(env: bl.Environment, *axes: int) -> np.ndarray:
    """(*axes, S, A) of random numbers."""
    return np.random.default_rng(0).standard_normal((*axes, env.num_contexts, env.num_actions))


def gaps(env: bl.Environment) -> np.ndarray:
    """(S, A, A) differences of a table."""
    values = table(env)
    return values[:, :, None] - values[:, None, :]


def params(env: bl.Environment) -> np.ndarray:
    """(d,) random numbers."""
    return np.random.default_rng(0).standard_normal(env.num_features)


def information(env: bl.Environment) -> np.ndarray:
    """(rank, rank), positive definite."""
    return np.eye(env.rank) + 0.1


@functools.cache
def _design(name: str) -> bl.designs.Design:
    return bl.designs.joint(environment(name))


def design(name: str) -> bl.designs.Design:
    """A design of the environment of that name."""
    return _design(name)


def seen(env: bl.Environment) -> np.ndarray:
    """(S, A) bool, two actions of the reference's support in every context."""
    return np.arange(env.num_actions)[None] < np.full((env.num_contexts, 1), 2)


def actions(env: bl.Environment) -> np.ndarray:
    """(S, 3) draws."""
    return np.random.default_rng(0).integers(0, env.num_actions, (env.num_contexts, 3))


def poke(values: object, number: object) -> np.ndarray:
    """A copy with another first element."""
    out = np.array(values)
    out.flat[0] = number
    return out


def strided(values: object) -> np.ndarray:
    """The same numbers, not contiguous in memory."""
    out = np.repeat(np.asarray(values), 2, axis=-1)
    return out[..., ::2]


def written(env: bl.Environment) -> str:
    """The path of a file of `Environment.save`."""
    path = FOLDER / f"fuzz_{env.num_contexts}.npz"
    env.save(path)
    return str(path)


class Traced:
    """Marks an argument that is to be traced."""

    def __init__(self, value: object) -> None:
        self.value = value


def namespace() -> dict[str, object]:
    """What expressions may name."""
    return {
        **{name: environment(name) for name in ENVIRONMENTS},
        **{key: value for key, value in globals().items() if isinstance(value, Callable) and not key.startswith("_")},
        "nan": nan,
        "inf": inf,
        "np": np,
        "jnp": jnp,
        "jax": jax,
        "bl": bl,
        "FOLDER": FOLDER,
        "policies": policies,
        "pairs": pairs,
        "settings": settings,
        "FEATURES": FEATURES,
        "KEY": jax.random.key(0),
        "PEAK": problem.problem(3.0, 2.0, num_actions=5),
        "DPO": bl.algorithms.on_policy_dpo(3),
        "REFERENCE": REFERENCE,
        "MISSING_MASS": MISSING_MASS,
    }


def right_values(target: str, name: str) -> list[str] | None:
    """The right values of an argument of a callable: those listed for the place nearest to it."""
    parts = target.split(".")
    spans = [(stop, start) for stop in range(len(parts), 0, -1) for start in range(stop)]
    places = [".".join((*parts[start:stop], name)) for stop, start in spans]
    return next((_LISTED["right"][place] for place in (*places, name) if place in _LISTED["right"]), None)
