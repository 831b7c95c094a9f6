"""The training loop as a state machine: a run is `init` and as many `step`s as there are rounds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import validation
from banditlab.llm import adam, decoder, exact, oracles
from banditlab.llm.algorithms import fitting, presets, rounds
from banditlab.llm.algorithms.base import Method, State
from banditlab.llm.exact import Evaluator
from banditlab.llm.model import EnumerableModel, LanguageModel
from banditlab.llm.pretraining import check_task
from banditlab.llm.tasks import Task
from banditlab.numerics import streams
from banditlab.numerics.compilation import LOOPS, inner


def init(algorithm: Method, model: LanguageModel, reference: decoder.Params, task: Task, key: Array) -> State:
    """The state before the first round: the policy is the reference, and a learned oracle has learned.

    `key` is the run's, as in `step`.

    Raises:
        ValueError: if the model is not of the task.
    """
    check_task(model, task)
    start = State(reference, adam.init(reference), jnp.zeros((), jnp.uint32))
    if not algorithm.oracle.learned:
        return start
    labels = jax.random.fold_in(key, streams.ORACLE)
    return start._replace(reward_model=_learn(algorithm, model, reference, task, labels))


def step(
    algorithm: Method,
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
    """One round, as `update` does it, and its metrics.

    Pure. The update and what measures it are compiled apart, so that algorithms share the latter.

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
        ValueError: as `update`.
    """
    beta = evaluator.env.beta
    sizes, rate = _check(algorithm, model, task, num_pairs, num_epochs, batch_size, learning_rate)
    state, drawn, loss = fitting.update(algorithm, model, reference, task, beta, key, state, rate, **sizes)
    return state, _measure(algorithm, model, evaluator, state, drawn, loss, num_pairs=sizes["num_pairs"])


def update(
    algorithm: Method,
    model: LanguageModel,
    reference: decoder.Params,
    task: Task,
    beta: float | Array,
    key: Array,
    state: State,
    *,
    num_pairs: int,
    num_epochs: int,
    batch_size: int,
    learning_rate: float | Array,
) -> State:
    """One round that is not measured: draw `num_pairs` labels, then `num_epochs` passes of Adam over them in batches.

    No table of responses is needed. Round k draws with keys folded from `key` and k = state.number, so a run that goes
    on from a saved state is bitwise the run that never stopped, and so is one whose rounds were not all measured. Arms
    with the same key share the prompts, the uniforms of the labels and the order of batches.

    Args:
        beta: temperature of the margins.
        key: of the whole run, the same in every round.

    Raises:
        ValueError: if a count is not a whole number, batch_size does not divide num_pairs or is below the algorithm's
            num_prompts, beta or the learning rate is not positive, or the model is not of the task.
    """
    if validation.is_concrete(beta):
        validation.positive("beta", beta)
    sizes, rate = _check(algorithm, model, task, num_pairs, num_epochs, batch_size, learning_rate)
    given = jnp.asarray(beta, float)
    return fitting.update(algorithm, model, reference, task, given, key, state, rate, **sizes)[0]


def train(
    algorithm: Method,
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
    algorithm: Method,
    model: LanguageModel,
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


@inner(LOOPS, static=("num_rounds", *fitting.STATIC))
def _train(algorithm, model, reference, task, evaluator, key, learning_rate, *, num_rounds, **sizes):
    def advance(state: State, _: None) -> tuple[State, dict[str, Array]]:
        given = (algorithm, model, reference, task, evaluator.env.beta, key)
        state, drawn, loss = fitting.update(*given, state, learning_rate, **sizes)
        return state, _measure(algorithm, model, evaluator, state, drawn, loss, num_pairs=sizes["num_pairs"])

    state = init(algorithm, model, reference, task, key)
    state, history = jax.lax.scan(advance, state, None, length=num_rounds)
    return state.params, history


def _measure(algorithm, model, evaluator, state, drawn, loss, *, num_pairs):
    """The metrics of `step`, for the state after the round."""
    table = exact.measure(evaluator, model.log_prob_table(state.params))
    seen = rounds.measure(model, state.params, drawn, evaluator.env.beta)
    return table | seen | {"loss": loss, "num_labels": _num_labels(algorithm, state.number, num_pairs)}


def _num_labels(algorithm: Method, done: Array, num_pairs: int) -> Array:
    """() int32 bought in `done` rounds; a learned oracle bought all of its before the first."""
    if algorithm.oracle.learned:
        return jnp.asarray(algorithm.oracle.num_pairs, jnp.int32)
    return jnp.where(algorithm.fresh, num_pairs * done.astype(jnp.int32), num_pairs)


@inner(LOOPS)
def _learn(algorithm, model, reference, task, key):
    """The reward model of Bradley-Terry labels on pairs from the reference."""
    true = presets.offline_dpo()
    pairs = rounds.draw(true, model, reference, reference, None, task, key, algorithm.oracle.num_pairs)
    return oracles.fit(algorithm.oracle, task, pairs.prompt, pairs.pairs.chosen, pairs.pairs.rejected)
