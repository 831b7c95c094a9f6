"""DPO on a language model under the bandit's names: who draws the pairs, and whether they are drawn again."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax import Array

from banditlab import losses, validation
from banditlab.llm import adam, decoder, exact, preference
from banditlab.llm.exact import Evaluator
from banditlab.llm.model import EnumerableModel, LanguageModel
from banditlab.llm.preference import Pairs
from banditlab.llm.pretraining import check_task, draw_prompts
from banditlab.llm.tasks import HabitTarget


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Algorithm:
    """What distinguishes the arms. The flags are arrays, so one compilation serves all, side by side if wanted.

    Attributes:
        on_policy: () bool, the current policy draws the pairs of every round; otherwise the reference does.
        fresh: () bool, new pairs every round; otherwise the first round's set is used again and again.
        loss: elementwise, of the margin alone.
    """

    on_policy: Array
    fresh: Array
    loss: losses.Loss = dataclasses.field(default=losses.dpo, metadata={"static": True})


def offline_dpo(*, fresh: bool = True) -> Algorithm:
    """Pairs from the reference: new ones every round, or (`fresh=False`) one fixed set reused."""
    return Algorithm(jnp.asarray(False), jnp.asarray(bool(fresh)))


def on_policy_dpo() -> Algorithm:
    """Pairs from the current policy, new ones every round."""
    return Algorithm(jnp.asarray(True), jnp.asarray(True))


def draw_pairs(
    model: LanguageModel,
    sampler: decoder.Params,
    reference: decoder.Params,
    task: HabitTarget,
    key: Array,
    num_pairs: int,
) -> Pairs:
    """Labelled pairs: uniform prompts, two responses each from `sampler`, Bradley-Terry labels of the task's reward."""
    key_prompts, key_responses, key_labels = jax.random.split(key, 3)
    prompt, prompts = draw_prompts(task, key_prompts, num_pairs)
    twice = type(prompts)(*(jnp.concatenate([leaf, leaf]) for leaf in prompts))
    both = model.sample(sampler, twice, key_responses)
    first, second = (type(both)(*(leaf[part] for leaf in both)) for part in (slice(num_pairs), slice(num_pairs, None)))
    gap = task.reward(prompt, first.tokens) - task.reward(prompt, second.tokens)
    uniform = jax.random.uniform(key_labels, gap.shape, gap.dtype)
    chosen, rejected = preference.label(uniform < jax.nn.sigmoid(gap), first, second)
    ratio = preference.log_ratio(model, reference, prompts, chosen, rejected)
    return Pairs(prompts, chosen, rejected, ratio)


def train(
    algorithm: Algorithm,
    model: EnumerableModel,
    reference: decoder.Params,
    task: HabitTarget,
    evaluator: Evaluator,
    key: Array,
    *,
    num_rounds: int,
    num_pairs: int,
    num_epochs: int,
    batch_size: int,
    learning_rate: float | Array,
) -> tuple[decoder.Params, dict[str, Array]]:
    """Rounds of: draw `num_pairs` labels, then `num_epochs` passes of Adam over them in batches.

    Starts at the reference; the margin's temperature is the evaluator's beta. Pure, so it can be vmapped over keys,
    learning rates and stacked algorithms; the optimiser's moments live through all rounds. Arms with the same key
    share the prompts, the uniforms of the labels and the order of batches.

    Returns:
        The parameters, and (num_rounds,) arrays after each round: the exact metrics of `exact.measure`, `loss` (mean
        of the last pass, before each step) and `num_labels` bought so far.

    Raises:
        ValueError: if a count is not a whole number, batch_size does not divide num_pairs, the learning rate is not
            positive, or the model is not of the task.
    """
    given = {"num_rounds": num_rounds, "num_pairs": num_pairs, "num_epochs": num_epochs, "batch_size": batch_size}
    for name, value in given.items():
        validation.whole(name, value)
    if num_pairs % batch_size:
        raise ValueError(f"batch_size must divide num_pairs = {num_pairs}; got {batch_size}")
    if validation.is_concrete(learning_rate):
        validation.positive("learning_rate", learning_rate)
    check_task(model, task)
    rate = jnp.asarray(learning_rate, jnp.float32)
    return _train(
        algorithm,
        model,
        reference,
        task,
        evaluator,
        key,
        rate,
        num_rounds=int(num_rounds),
        num_pairs=int(num_pairs),
        num_epochs=int(num_epochs),
        batch_size=int(batch_size),
    )


@functools.partial(jax.jit, static_argnames=("num_rounds", "num_pairs", "num_epochs", "batch_size"))
def _train(
    algorithm, model, reference, task, evaluator, key, learning_rate, *, num_rounds, num_pairs, num_epochs, batch_size
):
    beta = evaluator.env.beta.astype(jnp.float32)
    key_pairs, key_order = jax.random.split(key)
    batches = num_pairs // batch_size

    def one_round(carry, number):
        params, state = carry
        sampler = jax.tree.map(lambda new, old: jnp.where(algorithm.on_policy, new, old), params, reference)
        # A fixed set is the first round's, drawn again from the same key.
        drawn = jax.random.fold_in(key_pairs, jnp.where(algorithm.fresh, number, 0))
        pairs = draw_pairs(model, sampler, reference, task, drawn, num_pairs)
        order_bits = jax.random.bits(jax.random.fold_in(key_order, number), (num_epochs, num_pairs), jnp.uint32)
        orders = jnp.argsort(order_bits, axis=1).astype(jnp.int32)  # every epoch's own permutation

        def one_step(carry, rows):
            batch = jax.tree.map(lambda leaf: leaf[rows], pairs)
            params, state = carry
            params, state, loss = adam.step(
                lambda p: preference.mean_loss(model, p, batch, beta, loss=algorithm.loss),
                params,
                state,
                learning_rate,
            )
            return (params, state), loss

        carry, loss = jax.lax.scan(one_step, (params, state), orders.reshape(num_epochs * batches, batch_size))
        measured = exact.measure(evaluator, model.log_prob_table(carry[0]))
        return carry, measured | {"loss": jnp.mean(loss[-batches:])}

    start = (reference, adam.init(reference))
    (params, _), history = jax.lax.scan(one_round, start, jnp.arange(num_rounds, dtype=jnp.uint32))
    bought = num_pairs * (jnp.arange(num_rounds, dtype=jnp.int32) + 1)
    history["num_labels"] = jnp.where(algorithm.fresh, bought, num_pairs)
    return params, history
