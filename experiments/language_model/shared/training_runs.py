"""Training runs by their settings: each is made once and found by every experiment of the family that asks for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import numpy as np

from banditlab import llm
from banditlab.claims import Shards, side_by_side
from banditlab.store import source_hash
from experiments.language_model.shared import references
from experiments.language_model.shared.references import TUNING, Lab, Setup

# Measured after every round; all but the last two exact, by summation over every response.
METRICS = (
    "gap",
    "kl_target",
    "kl_reference",
    "win_rate",
    "expected_reward",
    "objective",
    "coverage",
    "effective_sample_size",
    "num_labels",
)


@dataclass(frozen=True)
class Cell:
    """One algorithm at one size of rounds and one learning rate; the starting policy is the reference.

    Attributes:
        method: a name of `llm.algorithms.METHODS`.
        options: its keyword arguments.
    """

    setup: Setup
    method: str
    options: tuple[tuple[str, Any], ...]
    num_pairs: int
    num_epochs: int
    batch_size: int
    num_rounds: int
    learning_rate: float


Histories = Mapping[str, np.ndarray]


class Bench:
    """Runs the cells of an experiment, those of one setup on its references."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self._sources = source_hash(train_cell)
        self._labs: dict[Setup, Lab] = {}
        self._compiled: set[Hashable] = set()

    def lab(self, setup: Setup) -> Lab:
        """The references of a setup."""
        if setup not in self._labs:
            self._labs[setup] = Lab(setup, self._shards)
        return self._labs[setup]

    def histories(self, cells: Sequence[Cell], num_seeds: int) -> list[Histories]:
        """For every cell its METRICS, (num_seeds, num_rounds) each, and the last parameters, "params"."""
        return self._stacked(cells, range(num_seeds))

    def held_out(self, cells: Sequence[Cell], num_seeds: int) -> np.ndarray:
        """(len(cells), num_seeds) gaps after the last round, on held-out seeds."""
        found = self._stacked(cells, range(TUNING, TUNING + num_seeds))
        return np.stack([history["gap"][:, -1] for history in found])

    def _stacked(self, cells: Sequence[Cell], seeds: Sequence[int]) -> list[Histories]:
        cells_and_seeds = [(cell, seed) for cell in dict.fromkeys(cells) for seed in seeds]
        # References first, those of the seeds to come too: one worker trains them while the other compiles cells.
        setups = dict.fromkeys(cell.setup for cell in cells)
        starts = [(setup, seed) for setup in setups for seed in (*seeds, *range(setup.num_references))]
        jobs: list[Callable[[], Any]] = [partial(self.lab(setup).of, seed) for setup, seed in starts]
        jobs += [partial(self._one, *job) for job in cells_and_seeds]
        programs = [_pretraining(setup) for setup, _ in starts] + [_program(cell) for cell, _ in cells_and_seeds]
        done = side_by_side(jobs, [None if program in self._compiled else program for program in programs])
        self._compiled |= set(programs)
        found = dict(zip(cells_and_seeds, done[len(starts) :], strict=True))
        return [
            {name: np.stack([found[cell, seed][name] for seed in seeds]) for name in (*METRICS, "params")}
            for cell in cells
        ]

    def _one(self, cell: Cell, seed: int) -> Histories:
        shared = self._shards.beside("llm_cells", cell, self._sources)
        return shared.get("run", (seed, seed + 1), partial(train_cell, cell, self.lab(cell.setup), seed))


def algorithm_of(cell: Cell) -> llm.algorithms.Method:
    """The cell's algorithm."""
    return llm.algorithms.METHODS[cell.method](**dict(cell.options))


def _program(cell: Cell) -> Hashable:
    """What is static in its compilation: the structure of the algorithm, and sizes."""
    sizes = (cell.num_pairs, cell.num_epochs, cell.batch_size)
    return jax.tree.structure(algorithm_of(cell)), replace(_pretraining(cell.setup), pretraining_steps=1), sizes


def _pretraining(setup: Setup) -> Setup:
    """What is static in the compilation of a setup's references: all but its numbers."""
    return replace(setup, noise=1.0, num_references=1, first_seed=0)


def train_cell(cell: Cell, lab: Lab, seed: int) -> dict[str, np.ndarray]:
    """The METRICS of one run after every round, on a held-out seed after the last only; its parameters as a vector."""
    algorithm = algorithm_of(cell)
    reference, evaluator = lab.of(seed)
    given = (algorithm, lab.model, reference, lab.task)
    key = jax.random.key(cell.setup.first_seed + seed)
    state = llm.algorithms.init(*given, key)
    names = ("num_pairs", "num_epochs", "batch_size", "learning_rate")
    sizes = {name: getattr(cell, name) for name in names}
    unmeasured = cell.num_rounds - 1 if seed >= TUNING else 0
    for _ in range(unmeasured):
        state = llm.algorithms.update(*given, lab.task.beta, key, state, **sizes)
    rounds = []
    for _ in range(cell.num_rounds - unmeasured):
        state, metrics = llm.algorithms.step(*given, evaluator, key, state, **sizes)
        rounds.append({name: metrics[name] for name in METRICS})
    history = {name: np.asarray([float(metrics[name]) for metrics in rounds]) for name in METRICS}
    if not all(np.isfinite(values).all() for values in history.values()):
        raise FloatingPointError(f"metrics must be finite; got others in {cell}, seed {seed}")
    return history | {"params": references.flatten(state.params)}


def tuned(
    bench: Bench, arms: Mapping[str, Sequence[Cell]], seeds: int, held_out: int
) -> dict[str, tuple[Cell, Histories, np.ndarray]]:
    """Per arm the cell with the smallest mean final gap over held-out seeds, its histories on seeds 0 .. seeds - 1,
    and (len(cells), held_out) final gaps that it was chosen by."""
    everything = [cell for cells in arms.values() for cell in cells]
    final = dict(zip(everything, bench.held_out(everything, held_out), strict=True))
    chosen = {name: min(cells, key=lambda cell: final[cell].mean()) for name, cells in arms.items()}
    found = bench.histories(list(chosen.values()), seeds)
    return {
        name: (chosen[name], history, np.stack([final[cell] for cell in arms[name]]))
        for name, history in zip(arms, found, strict=True)
    }
