"""What a round draws, and what is measured on it after the round."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from banditlab.llm import decoder, oracles, preference
from banditlab.llm.algorithms import pools
from banditlab.llm.algorithms.base import Method
from banditlab.llm.model import LanguageModel
from banditlab.llm.oracles import RewardModel
from banditlab.llm.policy import Prompts, Responses
from banditlab.llm.preference import Pairs
from banditlab.llm.pretraining import draw_prompts
from banditlab.llm.tasks import Task
from banditlab.numerics import streams
from banditlab.numerics.compilation import LOOPS, inner


class Drawn(NamedTuple):
    """What a round draws: B labelled pairs, and n responses from a known law.

    Attributes:
        prompt: (B,) int32, its number.
        pairs: of B rows.
        target: (B,) observed reward of the chosen response minus that of the rejected one.
        responses: the n responses and their prompts; None if they are those of the pairs, the chosen ones first.
        log_sampler: (n,) log-probability of the responses under the law that drew them.
        log_reference: (n,) under the reference.
    """

    prompt: Array
    pairs: Pairs
    target: Array
    responses: tuple[Prompts, Responses] | None
    log_sampler: Array
    log_reference: Array

    @property
    def num_tokens(self) -> Array:
        """() int32, response tokens drawn."""
        drawn = (self.pairs.chosen, self.pairs.rejected) if self.responses is None else (self.responses[1],)
        return jnp.sum(jnp.stack([jnp.sum(r.mask, dtype=jnp.int32) for r in drawn]), dtype=jnp.int32)


def draw(
    algorithm: Method,
    model: LanguageModel,
    params: decoder.Params,
    reference: decoder.Params,
    reward_model: RewardModel | None,
    task: Task,
    key: Array,
    num_pairs: int,
) -> Drawn:
    """The round of a policy `params`: prompts are uniform, and the algorithm says who responds and who labels.

    All algorithms draw the same prompts and the same numbers behind the labels from one key.
    """
    key_prompts, key_responses, key_labels = jax.random.split(key, 3)
    prompt, prompts = draw_prompts(task, key_prompts, num_pairs)

    def labelled(first: Responses, second: Responses) -> tuple[oracles.Labels, Responses, Responses]:
        noise = algorithm.noise if algorithm.regresses else None
        labels = oracles.compare(algorithm.oracle, reward_model, task, key_labels, prompt, first, second, noise=noise)
        return labels, *preference.label(labels.wins, first, second)

    if algorithm.num_candidates:
        pool = pools.draw(model, params, reference, task.prompts, key_responses, algorithm.num_candidates)
        rows = pools.draw_pairs(jax.random.fold_in(key, streams.CHOICE), pools.pair_law(pool, algorithm.scheme), prompt)
        labels, chosen, rejected = labelled(*(Responses(*(leaf[r] for leaf in pool.responses)) for r in rows))
        logs = [model.log_prob(p, pool.prompts, pool.responses) for p in (reference, params)]
        gap = jnp.where(labels.wins, 1.0, -1.0).astype(logs[0].dtype) * (logs[0][rows[0]] - logs[0][rows[1]])
        drawn, log_sampler = (pool.prompts, pool.responses), jnp.logaddexp(*logs) - jnp.log(2.0).astype(logs[0].dtype)
        log_reference = logs[0]
    else:
        sampler = jax.tree.map(lambda new, old: jnp.where(algorithm.on_policy, new, old), params, reference)
        labels, chosen, rejected = labelled(*_two_each(model, sampler, prompts, key_responses))
        logs = preference.log_probs(model, reference, prompts, chosen, rejected)
        gap, log_reference, drawn = logs[0] - logs[1], jnp.concatenate(logs), None
        log_sampler = jnp.sum(jnp.concatenate([chosen.logp, rejected.logp]), axis=1)
    target = jnp.where(labels.wins, labels.observed, -labels.observed)
    return Drawn(prompt, Pairs(prompts, chosen, rejected, gap), target, drawn, log_sampler, log_reference)


def _two_each(
    model: LanguageModel, sampler: decoder.Params, prompts: Prompts, key: Array
) -> tuple[Responses, Responses]:
    """Two responses to every prompt, drawn as one batch of 2 B rows."""
    size = prompts.tokens.shape[0]
    both = model.sample(sampler, Prompts(*(jnp.concatenate([leaf, leaf]) for leaf in prompts)), key)
    return Responses(*(leaf[:size] for leaf in both)), Responses(*(leaf[size:] for leaf in both))


@inner(LOOPS)
def measure(model: LanguageModel, params: decoder.Params, drawn: Drawn, beta: Array) -> dict[str, Array]:
    """The policy on what the round drew, each () in the decoder's precision, and num_tokens; see `training.step`."""
    pairs = drawn.pairs
    chosen, rejected = preference.log_probs(model, params, pairs.prompts, pairs.chosen, pairs.rejected)
    seen = jnp.concatenate([chosen, rejected]) if drawn.responses is None else model.log_prob(params, *drawn.responses)
    return {
        "margin": jnp.mean(beta.astype(chosen.dtype) * (chosen - rejected - pairs.log_reference)),
        "log_prob_chosen": jnp.mean(chosen),
        "log_prob_rejected": jnp.mean(rejected),
        "effective_sample_size": effective_share(seen, drawn.log_sampler, drawn.log_reference),
        "num_tokens": drawn.num_tokens,
    }


def effective_share(log_policy: Array, log_sampler: Array, log_reference: Array) -> Array:
    """(mean v)^2 / mean(v w), v = pi/q and w = pi/pi_ref, of n draws from q: (), from arrays (n,).

    An estimate of 1 / E_{pi_ref}[(pi/pi_ref)^2] = 1 / (1 + chi^2(pi || pi_ref)), the share of draws from the reference
    that count as draws from the policy. For q = pi_ref it is Kish's (sum w)^2 / (n sum w^2); for q = pi it is
    1 / mean(w), which chance can lift above one.
    """
    weight, ratio = log_policy - log_sampler, log_policy - log_reference
    lse = jax.nn.logsumexp
    return jnp.exp(2 * lse(weight) - lse(weight + ratio)) / weight.size
