"""The reference policy: maximum likelihood on a task's corpus."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.llm import adam, decoder
from banditlab.llm.model import LanguageModel
from banditlab.llm.policy import Prompts
from banditlab.llm.tasks import HabitTarget


def pretrain(
    model: LanguageModel,
    params: decoder.Params,
    task: HabitTarget,
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
    steps, size = (int(validation.whole(n, v)) for n, v in (("num_steps", num_steps), ("batch_size", batch_size)))
    if validation.is_concrete(learning_rate):
        validation.positive("learning_rate", learning_rate)
    check_task(model, task)
    rate = jnp.asarray(learning_rate, jnp.float32)
    return _pretrain(model, params, task, key, rate, num_steps=steps, batch_size=size)


def check_task(model: LanguageModel, task: HabitTarget) -> None:
    """ValueError unless the model speaks the task's symbols, answers with its length and has the context for it."""
    for name, has, wants in (
        ("vocabulary_size", model.config.vocabulary_size, task.num_symbols),
        ("response_length", model.response_length, task.length),
    ):
        if has != wants:
            raise ValueError(f"model must have the task's {name} = {wants}; got {has}")
    if model.eos is not None:
        raise ValueError(f"model must have no eos for responses of one length; got {model.eos}")
    model.config.check_length(task.prompts.tokens.shape[1], task.length)


def draw_prompts(task: HabitTarget, key: Array, size: int) -> tuple[Array, Prompts]:
    """(B,) prompt numbers, uniform, and the prompts."""
    uniform = jax.random.uniform(key, (size,), jnp.float32)
    number = jnp.minimum((uniform * task.num_prompts).astype(jnp.int32), task.num_prompts - 1)
    return number, Prompts(*(leaf[number] for leaf in task.prompts))


@functools.partial(jax.jit, static_argnames=("num_steps", "batch_size"))
def _pretrain(model, params, task, key, learning_rate, *, num_steps, batch_size):
    def advance(carry, number):
        params, state = carry
        key_prompts, key_corpus = jax.random.split(jax.random.fold_in(key, number))
        prompt, prompts = draw_prompts(task, key_prompts, batch_size)
        corpus = task.sample_corpus(key_corpus, prompt)
        share = 0.5 * (1.0 + jnp.cos(jnp.pi * number.astype(jnp.float32) / num_steps))
        params, state, loss = adam.step(
            lambda p: -jnp.mean(model.log_prob(p, prompts, corpus)), params, state, learning_rate * share
        )
        return (params, state), loss

    start = (params, adam.init(params))
    (params, _), losses = jax.lax.scan(advance, start, jnp.arange(num_steps, dtype=jnp.uint32))
    return params, losses
