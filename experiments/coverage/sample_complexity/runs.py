"""Labels needed for a target KL, found by bisection on the batch size; all settings move together, in one program."""

import math
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import banditlab as bl
from banditlab import coverage, linalg
from banditlab.exact import chi_squares
from banditlab.store import failures
from experiments.shared import equal_labels

# Arm -> (pooled, rounds of one search). Offline labels do not depend on the rounds: all are bought in one.
ARMS: Mapping[str, tuple[bool, int]] = {
    "offline": (True, 1),
    "on_policy": (False, 8),
    "on_policy_pooled": (True, 8),
    "hybrid_paired": (False, 2),
    "hybrid_mixture": (False, 2),
    "design_one_round": (False, 1),
}
_WEIGHTS = {
    "offline": {"initial": 1.0},
    "on_policy": {"on_policy": 1.0},
    "on_policy_pooled": {"on_policy": 1.0},
    "hybrid_paired": {"paired": 1.0},
    "hybrid_mixture": {"on_policy": 0.5, "designed": 0.5},
    "design_one_round": {"designed": 1.0},
}
MOST_LABELS = 1e15


def sampler(arm: str, design: "bl.designs.Design") -> Partial:
    """The pair law of an arm, as a sampler; all arms share one program."""
    weights = {name: jnp.asarray(_WEIGHTS[arm].get(name, 0.0)) for name in equal_labels.COMPONENTS}
    return Partial(equal_labels.blend, design, weights)


def limit(arm: str, env: bl.Environment, design: "bl.designs.Design") -> float:
    """Labels times median KL as eps -> 0 (I6): every round but the first then samples from pi*."""
    pooled, rounds = ARMS[arm]
    law = sampler(arm, design)
    first, later = (
        np.asarray(bl.theory.fisher_information(env, law(env, log_policy)))
        for log_policy in (env.log_initial, env.log_target)
    )
    # Information per label bought; fresh batches use the last round's alone.
    per_label = (first + (rounds - 1) * later) / rounds if pooled else (first if rounds == 1 else later) / rounds
    return limit_median(env, per_label)


def limit_median(env: bl.Environment, information: np.ndarray) -> float:
    """Median of (1/2) g'V*g, g ~ N(0, information^{-1}) (I6): the median KL times the labels, in the limit."""
    rows, _ = linalg.inverse_root(jnp.asarray(information))
    whitened = np.asarray(rows @ coverage.target_covariance(env) @ rows.T)
    return chi_squares.median(0.5 * np.linalg.eigvalsh(whitened))


def search(
    arm: str,
    env: bl.Environment,
    targets: np.ndarray,
    guess: np.ndarray,
    *,
    design: "bl.designs.Design",
    ridge: float,
    num_seeds: int,
    num_steps: int,
    final_seeds: int,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Total labels at which the median KL of the last round is each of `targets` (C,).

    Bisection on log n over three decades on either side of `guess` (C,), with common random numbers; then an
    evaluation with fresh ones at the result, corrected along KL ~ 1/n: the correction and its error are those of a
    sample median.

    Returns labels, labels_se, (C,), and reached (C,): False where the median stays above the target at the largest n
    tried (labels is then inf, an explicit "not reached"). The failures are seed-rounds of the final evaluation.
    """
    pooled, rounds = ARMS[arm]
    law = sampler(arm, design)
    low = np.maximum(np.log(guess / rounds) - math.log(1e3), 0.0)
    high = np.minimum(np.log(guess / rounds) + math.log(1e3), math.log(MOST_LABELS))

    def evaluate(log_n: np.ndarray, seeds: int, root: int) -> tuple[np.ndarray, np.ndarray, bl.Run]:
        batches = np.round(np.exp(log_n))
        run = bl.simulate_grid(
            [bl.algorithms.dpo(law, n, ridge=ridge, pooled=pooled, max_pairs=MOST_LABELS) for n in batches], [env],
            num_rounds=rounds, num_seeds=seeds, metrics=("kl_target", "existence"), record_params=False, seed=root,
        )  # fmt: skip
        return batches, np.sort(run.metrics["kl_target"][..., -1], axis=1), run

    def enough(log_n: np.ndarray) -> np.ndarray:
        return np.median(evaluate(log_n, num_seeds, seed)[1], axis=1) <= targets

    reached = enough(high)
    for _ in range(num_steps):
        middle = 0.5 * (low + high)
        good = enough(middle)
        low, high = np.where(good, low, middle), np.where(good, middle, high)
    batches, kl, run = evaluate(0.5 * (low + high), final_seeds, seed + 1)
    median = np.median(kl, axis=1)
    # Order statistics two binomial standard deviations (each sqrt(N)/2) on either side: four standard errors apart.
    reach, centre = math.ceil(math.sqrt(final_seeds)), final_seeds // 2
    error = (kl[:, centre + reach] - kl[:, centre - reach]) / 4
    labels = rounds * batches * median / targets
    return {
        "labels": np.where(reached, labels, np.inf),
        "labels_se": np.where(reached, labels * error / median, np.inf),
        "reached": reached,
    } | failures(run.failures)
