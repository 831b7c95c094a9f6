"""From options to what is trained, with everything that can be wrong found before anything is computed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp

from banditlab import validation
from banditlab.command.arguments import flag
from banditlab.command.training.options import COMMON, PRESETS, Options
from banditlab.errors import CommandLineError
from banditlab.llm.algorithms import METHODS, Method
from banditlab.llm.config import DecoderConfig
from banditlab.llm.model import EnumerableModel
from banditlab.llm.tasks import TASKS, Task, model_options

# Options of a factory by its own names for them.
TASK_OPTIONS = {
    "num_symbols": "num_symbols",
    "response_length": "length",
    "num_prompts": "num_prompts",
    "beta": "beta",
    "task_seed": "seed",
    "corpus_noise": "noise",
    "match_reward": "match_reward",
    "target_prob": "target_prob",
    "slope": "slope",
    "mode": "mode",
    "spread": "spread",
    "hazard": "hazard",
    "wanted": "wanted",
}
METHOD_OPTIONS = {
    "oracle": "oracle",
    "fresh": "fresh",
    "on_policy": "on_policy",
    "label_noise": "noise",
    "penalty": "penalty",
    "num_samples": "num_samples",
    "num_kl_prompts": "num_prompts",
    "num_candidates": "num_candidates",
    "scheme": "scheme",
}
DECODER_OPTIONS = (
    "context_length",
    "width",
    "num_layers",
    "num_heads",
    "num_key_value_heads",
    "hidden_width",
    "compute_dtype",
)
ROUND_OPTIONS = ("num_pairs", "num_epochs", "batch_size", "learning_rate")
# hypo has no default of its own.
_PENALTY = 0.1


@dataclass(frozen=True)
class Configuration:
    """What a command trains.

    Attributes:
        values: all that bears on the numbers: options with presets and defaults filled in, precision and platform.
        num_rounds: how far it is to go, which does not.
        round_sizes: keyword arguments of `algorithms.step`.
    """

    values: dict[str, Any]
    num_rounds: int
    task: Task
    model: EnumerableModel
    algorithm: Method

    @property
    def round_sizes(self) -> dict[str, Any]:
        return {name: self.values[name] for name in ROUND_OPTIONS}


def configure(options: Options) -> Configuration:
    """The configuration of the options.

    Raises:
        CommandLineError: for an option that does not apply, or a value that the library refuses.
    """
    given = {name: value for name, value in asdict(options).items() if value is not None}
    if options.method == "hypo":
        given.setdefault("penalty", _PENALTY)
    values = COMMON | PRESETS[options.preset] | given
    values |= {"precision": jnp.dtype(jnp.result_type(float)).name, "platform": jax.default_backend()}
    task, values = _build(TASKS[options.task], TASK_OPTIONS, values, f"--task {_dashed(options.task)}")
    algorithm, values = _build(METHODS[options.method], METHOD_OPTIONS, values, f"--method {_dashed(options.method)}")
    with refused({name: name for name in values}):
        for name in ("seed", "reference_seed"):
            validation.index(name, values[name])
        num_rounds = int(validation.whole("num_rounds", values["num_rounds"]))
        prompt_length = task.prompts.tokens.shape[1]
        values.setdefault("context_length", prompt_length + task.length)
        shape = {name: values[name] for name in DECODER_OPTIONS if name in values}
        decoder = DecoderConfig(task.num_symbols, **shape)
        decoder.check_length(prompt_length, task.length)
        model = EnumerableModel(decoder, **model_options(task))
    for unrelated in ("out", "preset", "num_rounds"):
        values.pop(unrelated, None)
    return Configuration(values, num_rounds, task, model, algorithm)


@contextmanager
def refused(names: dict[str, str]) -> Iterator[None]:
    """Turn what the library refuses into a CommandLineError that names the option `names[argument]`."""
    try:
        yield
    except ValueError as error:
        argument, _, rest = str(error).partition(" ")
        message = f"{flag(names[argument])} {rest}" if argument in names else str(error)
        raise CommandLineError(message) from error


def _build(
    factory: Callable[..., Any], names: dict[str, str], values: dict[str, Any], chosen: str
) -> tuple[Any, dict[str, Any]]:
    """The factory's product, and the values with its defaults filled in."""
    takes = inspect.signature(factory).parameters
    unwanted = [flag(name) for name in names if name in values and names[name] not in takes]
    if unwanted:
        fitting = ", ".join(flag(name) for name in names if names[name] in takes)
        raise CommandLineError(f"{unwanted[0]} does not apply to {chosen}, which takes {fitting}")
    defaults = {name: takes[names[name]].default for name in names if names[name] in takes}
    filled = defaults | {name: value for name, value in values.items() if name in defaults}
    with refused({names[name]: name for name in filled}):
        product = factory(**{names[name]: value for name, value in filled.items()})
    return product, values | filled


def _dashed(name: str) -> str:
    return name.replace("_", "-")
