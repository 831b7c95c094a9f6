"""A policy that is a table of logits, which compiles fast, and the training loop on it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import llm
from banditlab.llm import algorithms
from banditlab.llm.algorithms import rounds

TASK = llm.tasks.habit_target(num_symbols=4, length=1, num_prompts=3)
SIZES = {"num_pairs": 128, "num_epochs": 2, "batch_size": 32, "learning_rate": 0.05}
KEY = jax.random.key(5)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Table(llm.LogitTable):
    """A table of logits with what the training loop asks of a language model."""

    num_prompts: int = dataclasses.field(default=TASK.num_prompts, metadata={"static": True})
    num_actions: int = dataclasses.field(default=TASK.num_symbols, metadata={"static": True})
    config: llm.DecoderConfig = dataclasses.field(default=llm.DecoderConfig(4, 2), metadata={"static": True})
    response_length = 1
    eos = None

    def log_prob(self, params, prompts, responses):
        return super().log_prob(params, prompts, responses).astype(params.dtype)

    def log_prob_table(self, params):
        """In the bandit's precision, as a decoder's."""
        return jax.nn.log_softmax(params.astype(float), axis=-1)


MODEL = Table()
REFERENCE = jnp.asarray(np.random.default_rng(3).normal(size=(3, 4)), jnp.float32)
EVALUATOR = llm.exact.evaluator(TASK.reward_table, MODEL.log_prob_table(REFERENCE), float(TASK.beta))
# Where pi* is, in logits.
BEST = jnp.asarray(EVALUATOR.env.log_target, jnp.float32)


def begin(algorithm, params=REFERENCE):
    return algorithms.init(algorithm, MODEL, REFERENCE, TASK, KEY)._replace(params=params)


def step(algorithm, state, **changes):
    return algorithms.step(algorithm, MODEL, REFERENCE, TASK, EVALUATOR, KEY, state, **(SIZES | changes))


@jax.jit
def draw(algorithm, params, reward_model=None, key=KEY):
    """A round's draw of 4096 pairs."""
    return rounds.draw(algorithm, MODEL, params, REFERENCE, reward_model, TASK, key, 4096)


def rewards(drawn):
    """Of the chosen and of the rejected responses."""
    table, prompt = TASK.reward_table, np.asarray(drawn.prompt)
    return [table[prompt, np.asarray(r.tokens)[:, 0]] for r in drawn.pairs[1:3]]


def equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)
