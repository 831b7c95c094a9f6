"""Monte-Carlo estimates from a decoder's responses, with their exact values and exact variances from its table."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from banditlab import llm
from banditlab.llm.exact import Evaluator
from banditlab.llm.policy import Prompts


def estimates(
    model: llm.EnumerableModel,
    task: llm.tasks.HabitTarget,
    evaluator: Evaluator,
    reference: Any,
    policy: Any,
    key: jax.Array,
    each: int,
) -> dict[str, np.ndarray]:
    """Name -> (estimate, exact value, exact standard error), from `each` responses of both policies to every prompt.

    kl: mean log pi/pi_ref of the policy's. win_rate: its responses against the reference's, side by side.
    reward, reference_reward. coverage: E_ref w^2 of w = e^{r/beta}/Z with the exact Z, from the reference's.
    chi_squared: sum of (count - expected)^2/expected over prompts and numbers of matches, of both policies together;
    its exact value is its number of cells less one a prompt and policy.
    """
    prompt = np.repeat(np.arange(task.num_prompts), each)
    prompts = Prompts(*(leaf[prompt] for leaf in task.prompts))
    log_policy, log_reference = np.asarray(model.log_prob_table(policy)), np.asarray(evaluator.env.log_reference)
    # What every position counts in a response's number in the table.
    place = model.config.vocabulary_size ** np.arange(model.response_length - 1, -1, -1)
    both = [_draw(model, params, prompts, jax.random.fold_in(key, i)) for i, params in enumerate((policy, reference))]
    drawn, drawn_reference = (np.asarray(responses.tokens) @ place for responses in both)
    own_log, reference_log = (_log_prob(model, params, prompts, both[0]) for params in (policy, reference))
    ratio = np.asarray(own_log - reference_log)
    reward = task.reward_table
    probs, ref = np.exp(log_policy), np.exp(log_reference)
    beta = float(task.beta)
    weight = np.exp(reward / beta - np.log((ref * np.exp(reward / beta)).sum(1, keepdims=True)))
    own, other = reward[prompt, drawn], reward[prompt, drawn_reference]
    found = {
        "kl": (ratio.mean(dtype=float), *_exact(probs, log_policy - log_reference, each)),
        "reward": (own.mean(), *_exact(probs, reward, each)),
        "reference_reward": (other.mean(), *_exact(ref, reward, each)),
        "coverage": ((weight[prompt, drawn_reference] ** 2).mean(), *_exact(ref, weight**2, each)),
        "win_rate": ((1 / (1 + np.exp(other - own))).mean(), *_exact_wins(evaluator, probs, ref, each)),
    }
    pairs = ((probs, drawn), (ref, drawn_reference))
    squared = [_chi_squared(evaluator, *pair, prompt, each) for pair in pairs]
    total, cells = np.sum(squared, axis=0)
    found["chi_squared"] = (total, cells, np.sqrt(2 * cells))
    return {name: np.asarray(values) for name, values in found.items()}


_draw = jax.jit(lambda model, params, prompts, key: model.sample(params, prompts, key))
_log_prob = jax.jit(lambda model, params, prompts, responses: model.log_prob(params, prompts, responses))


def _exact(law: np.ndarray, values: np.ndarray, each: int) -> tuple[float, float]:
    """Mean of values (S, A) under law (S, A), and the standard error of a mean of `each` draws a prompt."""
    mean = (law * values).sum(axis=1)
    variance = (law * values**2).sum(axis=1) - mean**2
    return float(mean.mean()), float(np.sqrt(variance.mean() / (each * len(law))))


def _exact_wins(evaluator: Evaluator, law: np.ndarray, reference: np.ndarray, each: int) -> tuple[float, float]:
    levels = np.asarray(evaluator.levels)
    first, second = (_level_law(evaluator, table) for table in (law, reference))
    wins = 1 / (1 + np.exp(levels[None, :] - levels[:, None]))
    mean = np.einsum("xl,lm,xm->x", first, wins, second)
    variance = np.einsum("xl,lm,xm->x", first, wins**2, second) - mean**2
    return float(mean.mean()), float(np.sqrt(variance.mean() / (each * len(law))))


def _level_law(evaluator: Evaluator, table: np.ndarray) -> np.ndarray:
    """(S, L) probability of every level of reward under the law (S, A)."""
    level = np.asarray(evaluator.level)
    return np.stack([np.bincount(row, probs, len(evaluator.levels)) for row, probs in zip(level, table, strict=True)])


def _chi_squared(
    evaluator: Evaluator, law: np.ndarray, drawn: np.ndarray, prompt: np.ndarray, each: int
) -> tuple[float, float]:
    """Pearson's statistic of the levels' counts, those expected less than 20 times pooled; and degrees of freedom."""
    expected = each * _level_law(evaluator, law)
    counts = np.zeros_like(expected)
    np.add.at(counts, (prompt, np.asarray(evaluator.level)[prompt, drawn]), 1)
    total, freedom = 0.0, 0
    for wanted, seen in zip(expected, counts, strict=True):
        large = wanted >= 20
        wanted, seen = (np.append(row[large], row[~large].sum()) for row in (wanted, seen))
        kept = wanted >= 20 if wanted[-1] < 20 else np.ones(len(wanted), bool)
        total += float(((seen - wanted)[kept] ** 2 / wanted[kept]).sum())
        freedom += int(kept.sum()) - 1
    return total, float(freedom)


def tail_law(evaluator: Evaluator, sizes: tuple[int, ...], repeats: int, seed: int) -> dict[str, np.ndarray]:
    """The coverage estimate E_ref w^2 over its exact value, of N responses of the reference to its first prompt.

    "ratio" (N's, repeats), drawn from the exact law of the levels; "relative_variance", of one response; "top_prob"
    and "top_share", the best level's probability and share of the coverage.
    """
    law = _level_law(evaluator, np.exp(np.asarray(evaluator.env.log_reference)))[0]
    weight = np.exp(np.asarray(evaluator.levels) / float(evaluator.env.beta))
    weight = weight / (law @ weight)
    coverage = law @ weight**2
    rng = np.random.default_rng(seed)
    ratios = [rng.multinomial(size, law, repeats) @ weight**2 / (size * coverage) for size in sizes]
    return {
        "ratio": np.stack(ratios),
        "relative_variance": np.asarray(law @ weight**4 / coverage**2 - 1),
        "top_prob": np.asarray(law[-1]),
        "top_share": np.asarray(law[-1] * weight[-1] ** 2 / coverage),
        "prompt_coverage": np.asarray(coverage),
    }


def corpus_measure(task: llm.tasks.HabitTarget) -> tuple[float, float, float, float]:
    """`exact.measure` on the corpus's own table against the closed forms: coverage twice, J* twice."""
    evaluator = llm.exact.evaluator(task.reward_table, task.log_corpus, float(task.beta))
    found = llm.exact.measure(evaluator, evaluator.env.log_reference)
    optimum = float(found["objective"] + found["gap"])
    return task.coverage, float(found["coverage"]), task.optimum, optimum
