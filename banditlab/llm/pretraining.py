"""The reference policy: maximum likelihood on a task's corpus."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.llm import adam, decoder
from banditlab.llm.model import LanguageModel
from banditlab.llm.policy import Prompts
from banditlab.llm.tasks import Task
from banditlab.numerics.adam import Moments
from banditlab.numerics.compilation import LOOPS, inner


class State(NamedTuple):
    """What pretraining carries; a batch is a function of the run's key and its number alone.

    Attributes:
        params: of the model.
        optimizer: Adam's moments.
        number: () uint32, steps done.
    """

    params: decoder.Params
    optimizer: Moments
    number: Array


def pretrain(
    model: LanguageModel,
    params: decoder.Params,
    task: Task,
    key: Array,
    *,
    num_steps: int,
    batch_size: int,
    learning_rate: float | Array = 3e-3,
) -> tuple[decoder.Params, Array]:
    """Adam on -log pi(corpus), a fresh batch every step, the learning rate falling to zero along a half cosine.

    Args:
        key: batch t is drawn with fold_in(key, t).

    Returns:
        The parameters and the mean loss of every batch, (num_steps,): nats a response.

    Raises:
        ValueError: if a count is not a whole number, the learning rate not positive, or the model not of the task.
    """
    state, losses = advance(
        model,
        init(params),
        task,
        key,
        num_steps=num_steps,
        total_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
    )
    return state.params, losses


def init(params: decoder.Params) -> State:
    """The state before the first step."""
    return State(params, adam.init(params), jnp.zeros((), jnp.uint32))


def advance(
    model: LanguageModel,
    state: State,
    task: Task,
    key: Array,
    *,
    num_steps: int,
    total_steps: int,
    batch_size: int,
    learning_rate: float | Array = 3e-3,
) -> tuple[State, Array]:
    """The next `num_steps` of a `pretrain` of `total_steps`: a run that goes on from a saved state draws the same.

    Returns:
        The state after them and the mean loss of every batch, (num_steps,).

    Raises:
        ValueError: as `pretrain`.
    """
    given = {"num_steps": num_steps, "total_steps": total_steps, "batch_size": batch_size}
    sizes = {name: int(validation.whole(name, value)) for name, value in given.items()}
    if validation.is_concrete(learning_rate):
        validation.positive("learning_rate", learning_rate)
    check_task(model, task)
    return _advance(model, state, task, key, jnp.asarray(learning_rate, jnp.float32), **sizes)


def check_task(model: LanguageModel, task: Task) -> None:
    """ValueError unless the model speaks the task's symbols, ends as its responses do and has the context."""
    for name, has, wants in (
        ("vocabulary_size", model.config.vocabulary_size, task.num_symbols),
        ("response_length", model.response_length, task.length),
        ("eos", model.eos, task.eos),
    ):
        if has != wants:
            raise ValueError(f"model must have the task's {name} = {wants}; got {has}")
    model.config.check_length(task.prompts.tokens.shape[1], task.length)


def draw_prompts(task: Task, key: Array, size: int) -> tuple[Array, Prompts]:
    """(B,) prompt numbers, uniform, and the prompts."""
    uniform = jax.random.uniform(key, (size,), jnp.float32)
    number = jnp.minimum((uniform * task.num_prompts).astype(jnp.int32), task.num_prompts - 1)
    return number, Prompts(*(leaf[number] for leaf in task.prompts))


@inner(LOOPS, static=("num_steps", "total_steps", "batch_size"))
def _advance(model, state, task, key, learning_rate, *, num_steps, total_steps, batch_size):
    def one_step(carry, number):
        params, optimizer = carry
        key_prompts, key_corpus = jax.random.split(jax.random.fold_in(key, number))
        prompt, prompts = draw_prompts(task, key_prompts, batch_size)
        corpus = task.sample_corpus(key_corpus, prompt)
        share = 0.5 * (1.0 + jnp.cos(jnp.pi * number.astype(jnp.float32) / total_steps))
        params, optimizer, loss = adam.step(
            lambda p: -jnp.mean(model.log_prob(p, prompts, corpus)), params, optimizer, learning_rate * share
        )
        return (params, optimizer), loss

    numbers = state.number + jnp.arange(num_steps, dtype=jnp.uint32)
    (params, optimizer), losses = jax.lax.scan(one_step, (state.params, state.optimizer), numbers)
    return State(params, optimizer, state.number + num_steps), losses
