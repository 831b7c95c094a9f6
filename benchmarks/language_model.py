"""`python -m banditlab.llm` at its default sizes: exact evaluation, training of the reference, and a round."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from banditlab.command.training.configuration import Configuration, configure
from banditlab.command.training.options import Options
from banditlab.llm import algorithms, checkpoint, exact, pretraining
from benchmarks import timing

_REPEATS = 5
SAVED_STEPS = 50


def costs() -> list[dict[str, object]]:
    """A row each: the tree, a pass over every response instead, steps of pretraining that are saved, and a round."""
    whole = configure(Options())
    model, task = whole.model, whole.task
    params = model.init(jax.random.key(0))
    tree = jax.jit(model.log_prob_table)
    prompts, responses = _everything(whole)
    passes = jax.jit(model.log_prob)
    evaluator = exact.evaluator(task.reward_table, task.log_corpus, float(task.beta))
    timed = timing.interleaved([partial(tree, params), partial(passes, params, prompts, responses)], _REPEATS)
    with TemporaryDirectory() as folder:
        (steps,) = timing.interleaved([_saved_steps(whole, Path(folder))], _REPEATS)
    (one_round,) = timing.interleaved([_round(whole, params, evaluator)], _REPEATS)
    size = f"{task.num_prompts} x {task.num_responses} responses"
    names = (f"{size}, the tree", f"{size}, a pass each", f"{SAVED_STEPS} steps of pretraining, each saved")
    label = f"round of on-policy DPO, {whole.round_sizes['num_pairs']} labels"
    return [
        {"what": name, "first_call_s": each.first, "call_s": each.minimum, "call_median_s": each.median}
        for name, each in zip((*names, label), (*timed, steps, one_round), strict=True)
    ]


def _everything(whole: Configuration) -> tuple[Any, Any]:
    """Every response to every prompt, as rows."""
    model, task = whole.model, whole.task
    prompts = jax.tree.map(lambda leaf: leaf.repeat(task.num_responses, axis=0), model.prompts)
    rows = jax.tree.map(lambda leaf: leaf[None].repeat(task.num_prompts, axis=0), task.responses)
    return prompts, jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1]), rows)


def _saved_steps(whole: Configuration, folder: Path) -> Any:
    """A function: the next steps, each saved as the command does."""
    values = whole.values
    advance = jax.jit(
        partial(
            pretraining.advance,
            num_steps=1,
            total_steps=values["pretraining_steps"],
            batch_size=values["pretraining_batch_size"],
            learning_rate=values["pretraining_learning_rate"],
        )
    )

    states = [pretraining.init(whole.model.init(jax.random.key(0)))]

    def run() -> Any:
        for _ in range(SAVED_STEPS):
            states[0], _loss = advance(whole.model, states[0], whole.task, jax.random.key(1))
            checkpoint.save(folder, int(states[0].number), states[0])
        return states[0]

    return run


def _round(whole: Configuration, params: Any, evaluator: exact.Evaluator) -> Any:
    given = (whole.algorithm, whole.model, params, whole.task)
    key = jax.random.key(2)
    state = algorithms.init(*given, key)
    return lambda: algorithms.step(*given, evaluator, key, state, **whole.round_sizes)
