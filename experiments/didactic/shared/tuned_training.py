"""Training runs of the 1-D bandit with peaks R1 and R2, each at a learning rate chosen on other seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from banditlab.claims import side_by_side
from banditlab.didactic import training
from banditlab.didactic.policies import Policy
from banditlab.didactic.problem import Problem, problem
from banditlab.didactic.settings import Settings
from banditlab.estimators import Status
from banditlab.exact import frontier
from banditlab.store import failures

# Rare under the reference, and near its mode; both of width 10.
PEAKS = {"R1": 70.0, "R2": 20.0}


class Study(NamedTuple):
    """What all the runs of an experiment share.

    Attributes:
        policy: tabular or mlp.
        rates: the grid of learning rates.
        settings: the other numbers of the losses.
        num_seeds, seeds_per_call: measured, `seeds_per_call` at a time.
        tuning_seeds: held-out seeds for each rate; about seeds_per_call / len(rates), so that both kinds of call are
            one compiled program.
        seed: root of all.
    """

    policy: Policy
    rates: tuple[float, ...]
    settings: Settings
    num_seeds: int
    seeds_per_call: int
    tuning_seeds: int
    seed: int


@dataclass(frozen=True)
class Batches:
    """What configurations of such experiments begin with: batches of B states with N draws, and what is in `Study`."""

    num_states: int = 8
    num_samples: int = 10
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0)
    ipo_target: float = 10.0
    num_seeds: int = 128
    seeds_per_call: int = 128
    tuning_seeds: int = 24
    seed: int = 1

    def study(self, policy: Policy, **numbers: float) -> Study:
        """The runs' shared part; `numbers` are settings of the losses beside IPO's target."""
        settings = Settings(ipo_target=self.ipo_target, **numbers)
        return Study(policy, self.rates, settings, self.num_seeds, self.seeds_per_call, self.tuning_seeds, self.seed)

    def queries(self, num_batches: int) -> int:
        """Draws in so many batches."""
        return num_batches * self.num_states * self.num_samples


def bandits() -> Problem:
    """R1 and R2 along a leading axis."""
    peaks = jnp.asarray(list(PEAKS.values()))
    return jax.vmap(problem)(peaks, jnp.full(len(peaks), 10.0))


def tune(study: Study, algorithm: str, *, penalty: float = 0.0, **options: Any) -> np.ndarray:
    """(2, L, tuning_seeds) final rewards, less penalty * KL(pi || pi_ref), at every rate on held-out seeds.

    A run that broke off counts with its last.
    """
    wide, rates = _crossed(study.rates)
    settings = study.settings._replace(learning_rate=rates)
    held_out = {"seeds": study.tuning_seeds, "seed": 2 * study.seed + 1}
    found = training.train_grid(algorithm, study.policy, wide, settings=settings, **held_out, **_recorded(options))
    final = found["reward"][:, :, -1]
    if penalty:
        final = final - penalty * found["kl_reference"][:, :, -1]
    return _rounded(final).reshape(len(PEAKS), len(study.rates), -1)


def measure(study: Study, algorithm: str, rates: np.ndarray, **options: Any) -> dict[str, np.ndarray]:
    """(2, num_seeds) each: start, start_kl before training at the rates (2,), reward, kl after it, excess over the
    frontier, and failed."""
    joined = _evaluated(study, algorithm, rates, ("reward", "kl_reference", "status"), options)
    failed = (joined["status"] == Status.nonfinite).astype(int)
    reward, divergence = joined["reward"], joined["kl_reference"]
    excess = frontier_excess(reward[..., -1], divergence[..., -1])
    ends = {"start": _rounded(reward[..., 0]), "start_kl": np.maximum(divergence[..., 0], 0.0), "failed": failed}
    return ends | {"reward": _rounded(reward[..., -1]), "kl": _rounded(divergence[..., -1]), "excess": excess}


def tuned(study: Study, algorithm: str, **options: Any) -> dict[str, np.ndarray]:
    """`measure` at the best rates of `tune`, "rate" (2,); what it returns is "held_out"."""
    held_out = tune(study, algorithm, **options)
    rates = best_rates(study, held_out)
    return measure(study, algorithm, rates, **options) | {"rate": rates, "held_out": held_out}


def follow(study: Study, algorithm: str, *, penalty: float = 0.0, **options: Any) -> dict[str, np.ndarray]:
    """Paths at the best rates of `tune`: reward, kl_reference, kl_target (2, num_seeds, R), rate, held_out, failed."""
    held_out = tune(study, algorithm, penalty=penalty, **options)
    rates = best_rates(study, held_out)
    found = _evaluated(study, algorithm, rates, ("reward", "kl_reference", "kl_target", "status"), options)
    failed = (found.pop("status") == Status.nonfinite).astype(int)
    return found | {"failed": failed, "rate": rates, "held_out": held_out}


def best_rates(study: Study, held_out: np.ndarray) -> np.ndarray:
    """(2,) the rates with the largest mean of (2, L, tuning_seeds); of those equal to six decimals the smallest."""
    return np.asarray(study.rates)[_rounded(held_out.mean(axis=2)).argmax(axis=1)]


def all_named(jobs: Mapping[str, Callable[[], Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The arrays of every job as "job: array"."""
    found = dict(zip(jobs, side_by_side(list(jobs.values())), strict=True))
    return {key: value for name, arrays in found.items() for key, value in named(name, arrays).items()}


def own_names(jobs: Mapping[str, Callable[[], Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The arrays of every job by the names that it gave them with `named`, and how many of its runs stopped."""
    found = all_named(jobs)
    return {name.split(": ", 1)[1]: values for name, values in found.items()} | broken(found)


def named(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays as "name: array", of which `arrays_of` is the inverse."""
    return {f"{name}: {key}": value for key, value in arrays.items()}


def arrays_of(data: Mapping[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    """The arrays of one name, by their own names."""
    start = f"{name}: "
    return {key.removeprefix(start): value for key, value in data.items() if key.startswith(start)}


def broken(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """How many of the runs of a shard stopped, as an entry of it."""
    counts = [values for name, values in found.items() if name.endswith(": failed")]
    return failures({"runs with a step that was not finite": counts})


def frontier_excess(reward: np.ndarray, divergence: np.ndarray) -> np.ndarray:
    """(2, K) reward less the most that any policy at that divergence has, from (2, K) of each."""
    rewards, log_references = map(np.asarray, bandits())
    cases = zip(rewards, log_references, divergence, strict=True)
    most = [frontier.most_reward(r, log_reference, kls) for r, log_reference, kls in cases]
    return reward - np.stack(most)


def _crossed(rates: Sequence[float]) -> tuple[Problem, np.ndarray]:
    """Every bandit at every rate: fields (2 L, A), and (2 L,) the rates."""
    wide = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf), len(rates), axis=0), bandits())
    return wide, np.tile(np.asarray(rates), len(PEAKS))


def _evaluated(study: Study, algorithm: str, rates: np.ndarray, names: Sequence[str], options: Mapping[str, Any]):
    """The arrays `names` of num_seeds runs of both bandits at the rates (2,), seeds_per_call at a time."""
    settings = study.settings._replace(learning_rate=rates)
    calls = []
    for place in range(-(-study.num_seeds // study.seeds_per_call)):
        fresh = {"seeds": study.seeds_per_call, "seed": 2 * (study.seed + 1000 * place)}
        call = training.train_grid(algorithm, study.policy, bandits(), settings=settings, **fresh, **_recorded(options))
        calls.append(call)
    return {name: np.concatenate([call[name] for call in calls], axis=1)[:, : study.num_seeds] for name in names}


def _rounded(values: np.ndarray) -> np.ndarray:
    """To six decimals: single precision holds no more, and another machine's sums agree."""
    return np.round(values, 6) + 0.0


def _recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"record_at": (0, options["num_steps"])} | dict(options)
