"""Pretrain a reference and run a method's rounds from it, saved after every step of the one and every round."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
from jax import Array
from rich.console import Console
from rich.progress import Progress

from banditlab.command.training.configuration import Configuration, refused
from banditlab.command.training.folder import Folder
from banditlab.llm import algorithms, checkpoint, decoder, exact, pretraining
from banditlab.llm.algorithms import State
from banditlab.llm.exact import Evaluator
from banditlab.llm.model import EnumerableModel
from banditlab.numerics import compilation, streams

# Another stream than that of the rounds: the same number for both seeds must not mean the same draws.


def run(configuration: Configuration, folder: Folder, console: Console) -> None:
    """Train as configured, from where the folder's last run stopped.

    Raises:
        CommandLineError: if a size is refused, or the folder is that of another run, before anything is computed.
        CheckpointError: if the checkpoint to go on from is damaged.
    """
    checkpoint.require_orbax()
    values = configuration.values
    key_reference = jax.random.fold_in(jax.random.key(values["reference_seed"]), streams.REFERENCE)
    key_params, key_corpus = jax.random.split(key_reference)
    key = jax.random.key(values["seed"])
    _refuse_bad_sizes(configuration, key)
    quiet = not console.is_terminal  # the lines of the rounds say enough to a file
    with folder.held(), Progress(console=console, transient=True, disable=quiet) as progress:
        folder.claim(values)
        reference = _pretrained(configuration, folder, progress, key_params, key_corpus)
        table = _compiled(EnumerableModel.log_prob_table)(configuration.model, reference)
        evaluator = exact.evaluator(configuration.task.reward_table, table, float(configuration.task.beta))
        state = _resumed(configuration, folder, reference, evaluator, key)
        if (done := int(state.number)) < configuration.num_rounds:
            if done > 0:
                console.print(f"going on after round {done} of '{folder.root}'")
            _rounds(configuration, folder, progress, reference, evaluator, state, key)


def _refuse_bad_sizes(configuration: Configuration, key: Array) -> None:
    """CommandLineError for what pretraining and a round refuse, found by tracing them without computing anything."""
    task, model, algorithm = configuration.task, configuration.model, configuration.algorithm
    evaluator = exact.evaluator(task.reward_table, task.log_corpus, float(task.beta))
    sizes = _pretraining_sizes(configuration.values)

    def pretrain() -> Any:
        return pretraining.advance(model, pretraining.init(model.init(key)), task, key, **sizes)

    def one_round() -> Any:
        params = model.init(key)
        state = algorithms.init(algorithm, model, params, task, key)
        return algorithms.step(algorithm, model, params, task, evaluator, key, state, **configuration.round_sizes)

    pretraining_names = ("batch_size", "learning_rate")
    with refused({"total_steps": "pretraining_steps"} | {name: f"pretraining_{name}" for name in pretraining_names}):
        jax.eval_shape(pretrain)
    with refused({name: name for name in configuration.round_sizes} | {"num_prompts": "num_kl_prompts"}):
        jax.eval_shape(one_round)


def _pretraining_sizes(values: dict[str, Any]) -> dict[str, Any]:
    """Of one step."""
    return {
        "num_steps": 1,
        "total_steps": values["pretraining_steps"],
        "batch_size": values["pretraining_batch_size"],
        "learning_rate": values["pretraining_learning_rate"],
    }


def _pretrained(
    configuration: Configuration, folder: Folder, progress: Progress, key_params: Array, key_corpus: Array
) -> decoder.Params:
    """The reference, from the last step that was saved on."""
    task, model, values = configuration.task, configuration.model, configuration.values
    state = pretraining.init(model.init(key_params))
    if saved := checkpoint.numbers(folder.pretraining):
        state = checkpoint.restore(folder.pretraining, saved[-1], state)
    total = values["pretraining_steps"]
    bar = progress.add_task("pretraining", total=total, completed=int(state.number))
    advance = _compiled(pretraining.advance, **_pretraining_sizes(values))
    while int(state.number) < total:
        state, loss = advance(model, state, task, key_corpus)
        done = int(state.number)
        checkpoint.save(folder.pretraining, done, state)
        progress.update(bar, completed=done, description=f"pretraining, {float(loss[-1]):.3f} nats")
    progress.remove_task(bar)
    return state.params


def _resumed(
    configuration: Configuration, folder: Folder, reference: decoder.Params, evaluator: Evaluator, key: Array
) -> State:
    """The state to go on from, the metrics of later rounds removed; a new run records the reference as round 0."""
    task, model = configuration.task, configuration.model
    state = algorithms.init(configuration.algorithm, model, reference, task, key)
    if saved := checkpoint.numbers(folder.rounds):
        state = checkpoint.restore(folder.rounds, saved[-1], state)
        folder.rewind(saved[-1], checkpoint.beside(folder.rounds, saved[-1]).get(folder.metrics.name, ""))
        return state
    folder.rewind(-1)
    folder.record({"round": 0, "num_labels": 0} | _numbers(exact.measure(evaluator, evaluator.env.log_reference)))
    return state


def _rounds(
    configuration: Configuration,
    folder: Folder,
    progress: Progress,
    reference: decoder.Params,
    evaluator: Evaluator,
    state: State,
    key: Array,
) -> None:
    total = configuration.num_rounds
    bar = progress.add_task("compiling", total=total, completed=int(state.number))
    fixed = (configuration.algorithm, configuration.model, reference, configuration.task, evaluator, key)
    # Ahead of time, so that no round's seconds include it.
    step = _compiled(algorithms.step, **configuration.round_sizes).lower(*fixed, state).compile()
    progress.update(bar, description="rounds")
    while (number := int(state.number) + 1) <= total:
        began = time.perf_counter()
        state, metrics = step(*fixed, state)
        row = _numbers(jax.block_until_ready(metrics))
        seconds = time.perf_counter() - began
        clock = {"seconds": round(seconds, 6), "tokens_per_second": round(row["num_tokens"] / seconds, 1)}
        folder.record({"round": number} | row | clock)
        checkpoint.save(folder.rounds, number, state, {folder.metrics.name: folder.digest})
        progress.update(bar, completed=number)
        progress.console.print(
            f"round {number} of {total}: {row['num_labels']} labels, gap {row['gap']:.4g}, "
            f"KL(pi*||pi) {row['kl_target']:.4g}, KL(pi||pi_ref) {row['kl_reference']:.4g}, "
            f"win rate {row['win_rate']:.3f}, {seconds:.1f} s"
        )


@functools.cache
def _compiled(function: Callable[..., Any], **sizes: float) -> Any:
    """`function` with these sizes as an outermost program; one per function and sizes."""
    return compilation.outermost(functools.partial(function, **sizes))


def _numbers(metrics: dict[str, Array]) -> dict[str, Any]:
    return {name: value.item() for name, value in metrics.items()}
