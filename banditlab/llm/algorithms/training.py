"""The training loop as a state machine: a run is `init` and as many `step`s as there are rounds."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.llm import adam, decoder, exact, oracles, preference
from banditlab.llm.algorithms import divergence, presets, rounds
from banditlab.llm.algorithms.base import Algorithm, State
from banditlab.llm.exact import Evaluator
from banditlab.llm.model import EnumerableModel
from banditlab.llm.pretraining import check_task
from banditlab.llm.tasks import Task

_STATIC = ("num_pairs", "num_epochs", "batch_size")
# Keys that no split of the run's can hit.
_ORACLE_STREAM = 2**31 - 1
_KL_STREAM = 2**31 - 2


def init(algorithm: Algorithm, model: EnumerableModel, reference: decoder.Params, task: Task, key: Array) -> State:
    """The state before the first round: the policy is the reference, and a learned oracle has learned.

    `key` is the run's, as in `step`.

    Raises:
        ValueError: if the model is not of the task.
    """
    check_task(model, task)
    start = State(reference, adam.init(reference), jnp.zeros((), jnp.uint32))
    if not algorithm.oracle.learned:
        return start
    labels = jax.random.fold_in(key, _ORACLE_STREAM)
    return start._replace(reward_model=_learn(algorithm, model, reference, task, labels))


def step(
    algorithm: Algorithm,
    model: EnumerableModel,
    reference: decoder.Params,
    task: Task,
    evaluator: Evaluator,
    key: Array,
    state: State,
    *,
    num_pairs: int,
    num_epochs: int,
    batch_size: int,
    learning_rate: float | Array,
) -> tuple[State, dict[str, Array]]:
    """One round: draw `num_pairs` labels, then `num_epochs` passes of Adam over them in batches.

    Pure and compiled once. Round k draws with keys folded from `key` and k = state.number, so a run that goes on from
    a saved state is bitwise the run that never stopped. Arms with the same key share the prompts, the uniforms of the
    labels and the order of batches.

    Args:
        evaluator: its beta is the temperature of the margins.
        key: of the whole run, the same in every round.

    Returns:
        The state after the round and its metrics, each (). After the round: those of `exact.measure`; on the round's
        pairs (which were fitted) `margin`, `log_prob_chosen`, `log_prob_rejected`, means; on the pairs' 2 num_pairs
        responses, or on a pool's candidates, `effective_sample_size`: the reference's for the policy after the round,
        as a share, see `rounds.effective_share`. `loss` is the mean of the last pass, before each of its steps and
        without HyPO's penalty; `num_labels` are bought so far; `num_tokens` are the response tokens drawn in the
        round, without HyPO's own draws.

    Raises:
        ValueError: if a count is not a whole number, batch_size does not divide num_pairs or is below the algorithm's
            num_prompts, the learning rate is not positive, or the model is not of the task.
    """
    sizes, rate = _check(algorithm, model, task, num_pairs, num_epochs, batch_size, learning_rate)
    return _step(algorithm, model, reference, task, evaluator, key, state, rate, **sizes)


def train(
    algorithm: Algorithm,
    model: EnumerableModel,
    reference: decoder.Params,
    task: Task,
    evaluator: Evaluator,
    key: Array,
    *,
    num_rounds: int,
    num_pairs: int,
    num_epochs: int,
    batch_size: int,
    learning_rate: float | Array,
) -> tuple[decoder.Params, dict[str, Array]]:
    """`num_rounds` rounds of `step` from `init`, in one compiled scan.

    Pure, so it can be vmapped over keys, learning rates and stacked algorithms.

    Returns:
        The parameters, and the metrics of `step` as arrays (num_rounds,).

    Raises:
        ValueError: as `step`, or if num_rounds is not a whole number.
    """
    length = int(validation.whole("num_rounds", num_rounds))
    sizes, rate = _check(algorithm, model, task, num_pairs, num_epochs, batch_size, learning_rate)
    return _train(algorithm, model, reference, task, evaluator, key, rate, num_rounds=length, **sizes)


def _check(
    algorithm: Algorithm,
    model: EnumerableModel,
    task: Task,
    num_pairs: int,
    num_epochs: int,
    batch_size: int,
    learning_rate: float | Array,
) -> tuple[dict[str, int], Array]:
    """The sizes as whole numbers, and the learning rate as an array."""
    given = {"num_pairs": num_pairs, "num_epochs": num_epochs, "batch_size": batch_size}
    sizes = {name: int(validation.whole(name, value)) for name, value in given.items()}
    if num_pairs % batch_size:
        raise ValueError(f"batch_size must divide num_pairs = {num_pairs}; got {batch_size}")
    if algorithm.num_prompts is not None and algorithm.num_prompts > batch_size:
        raise ValueError(f"num_prompts must be at most batch_size = {batch_size}; got {algorithm.num_prompts}")
    if validation.is_concrete(learning_rate):
        validation.positive("learning_rate", learning_rate)
    check_task(model, task)
    return sizes, jnp.asarray(learning_rate, jnp.float32)


@functools.partial(jax.jit, static_argnames=("num_rounds", *_STATIC))
def _train(algorithm, model, reference, task, evaluator, key, learning_rate, *, num_rounds, **sizes):
    def advance(state: State, _: None) -> tuple[State, dict[str, Array]]:
        return _step(algorithm, model, reference, task, evaluator, key, state, learning_rate, **sizes)

    state = init(algorithm, model, reference, task, key)
    state, history = jax.lax.scan(advance, state, None, length=num_rounds)
    return state.params, history


@functools.partial(jax.jit, static_argnames=_STATIC)
def _step(
    algorithm, model, reference, task, evaluator, key, state, learning_rate, *, num_pairs, num_epochs, batch_size
):
    beta = evaluator.env.beta
    key_pairs, key_order = jax.random.split(key)
    key_kl = jax.random.fold_in(jax.random.fold_in(key, _KL_STREAM), state.number)
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
    metrics = exact.measure(evaluator, model.log_prob_table(params)) | rounds.measure(model, params, drawn, beta)
    metrics["loss"] = jnp.mean(loss[-(num_pairs // batch_size) :])
    metrics |= {"num_labels": _num_labels(algorithm, state.number, num_pairs), "num_tokens": drawn.num_tokens}
    return state._replace(params=params, optimizer=optimizer, number=state.number + 1), metrics


def _kl_gradient(algorithm, model, params, reference, prompts, key):
    """An unbiased estimate of the gradient of the batch's mean KL(pi || pi_ref)."""
    prompts = type(prompts)(*(leaf[: algorithm.num_prompts] for leaf in prompts))
    draws = divergence.draw(model, params, reference, prompts, key, algorithm.num_samples)
    return jax.grad(lambda p: divergence.mean_surrogate(model, p, draws, algorithm.num_samples))(params)


def _num_labels(algorithm: Algorithm, number: Array, num_pairs: int) -> Array:
    """() int32 bought up to and including round `number`; a learned oracle bought all of its before the first."""
    if algorithm.oracle.learned:
        return jnp.asarray(algorithm.oracle.num_pairs, jnp.int32)
    return jnp.where(algorithm.fresh, num_pairs * (number.astype(jnp.int32) + 1), num_pairs)


@jax.jit
def _learn(algorithm, model, reference, task, key):
    """The reward model of Bradley-Terry labels on pairs from the reference."""
    true = presets.offline_dpo()
    pairs = rounds.draw(true, model, reference, reference, None, task, key, algorithm.oracle.num_pairs)
    return oracles.fit(algorithm.oracle, task, pairs.prompt, pairs.pairs.chosen, pairs.pairs.rejected)
