"""One round: pairs are drawn, and Adam passes over them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from banditlab.llm import adam, preference
from banditlab.llm.algorithms import divergence, rounds
from banditlab.numerics import streams
from banditlab.numerics.compilation import LOOPS, inner

STATIC = ("num_pairs", "num_epochs", "batch_size")


@inner(LOOPS, static=STATIC)
def update(algorithm, model, reference, task, beta, key, state, learning_rate, *, num_pairs, num_epochs, batch_size):
    """The state after a round, what the round drew, and the mean loss () of the last pass."""
    key_pairs, key_order = jax.random.split(key)
    key_kl = jax.random.fold_in(jax.random.fold_in(key, streams.KL), state.number)
    # A fixed set is the first round's, drawn again from the same key.
    key_drawn = jax.random.fold_in(key_pairs, jnp.where(algorithm.fresh, state.number, 0))
    drawn = rounds.draw(algorithm, model, state.params, reference, state.reward_model, task, key_drawn, num_pairs)
    order_bits = jax.random.bits(jax.random.fold_in(key_order, state.number), (num_epochs, num_pairs), jnp.uint32)
    orders = jnp.argsort(order_bits, axis=1).astype(jnp.int32)  # every epoch's own permutation

    def one_step(carry, given):
        rows, number = given
        params, optimizer = carry
        batch, target = jax.tree.map(lambda leaf: leaf[rows], (drawn.pairs, drawn.target))
        wanted = target if algorithm.regresses else None
        loss, gradient = jax.value_and_grad(
            lambda p: preference.mean_loss(model, p, batch, beta, loss=algorithm.loss, target=wanted)
        )(params)
        if algorithm.num_samples:
            key_step = jax.random.fold_in(key_kl, number)
            pull = _kl_gradient(algorithm, model, params, reference, batch.prompts, key_step)
            gradient = jax.tree.map(lambda g, k: g + algorithm.penalty.astype(k.dtype) * k, gradient, pull)
        return adam.update(gradient, params, optimizer, learning_rate), loss

    batches = orders.reshape(-1, batch_size)
    numbers = jnp.arange(len(batches), dtype=jnp.uint32)
    (params, optimizer), loss = jax.lax.scan(one_step, (state.params, state.optimizer), (batches, numbers))
    state = state._replace(params=params, optimizer=optimizer, number=state.number + 1)
    return state, drawn, jnp.mean(loss[-(num_pairs // batch_size) :])


def _kl_gradient(algorithm, model, params, reference, prompts, key):
    """An unbiased estimate of the gradient of the batch's mean KL(pi || pi_ref)."""
    prompts = type(prompts)(*(leaf[: algorithm.num_prompts] for leaf in prompts))
    draws = divergence.draw(model, params, reference, prompts, key, algorithm.num_samples)
    return jax.grad(lambda p: divergence.mean_surrogate(model, p, draws, algorithm.num_samples))(params)
