"""What a step on labelled pairs does to the log-likelihoods of a tabular softmax, in closed form.

A step on one pair moves the logits of winner and loser by c and -c; the first step of Adam moves every logit by the
rate times the sign of its direction; and so does every later one while the gradient keeps its size.
"""

import numpy as np

# Adam's, added to the root of the second moment.
EPSILON = 1e-8


def pair_pull(algorithm: str, ratio: np.ndarray, beta: float, target: float) -> np.ndarray:
    """(K,) c of a step of size one on one pair with log(pi/pi_ref)(w) - log(pi/pi_ref)(l) = ratio.

    The step moves the logits of winner and loser by c and -c: c = beta sigma(-beta ratio) for DPO, 2 (target - ratio)
    for IPO; the normaliser of the softmax drops out of a difference.
    """
    if algorithm == "dpo":
        return beta / (1 + np.exp(beta * ratio))
    return 2 * (target - ratio)


def reference_pull(algorithm: str, beta: float, target: float) -> float:
    """What a pair pulls with at pi_ref, in a step of size one; for Pref-FT one."""
    return {"dpo": beta / 2, "ipo": 2 * target, "pref_ft": 1.0}[algorithm]


def pair_move(pull: np.ndarray, winner: np.ndarray, loser: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Changes of log pi after the pair's logits moved by c and -c: first order, exact, a bound on their difference.

    With p, q the probabilities of winner and loser: chosen c (1 - p + q), rejected -c (1 + p - q), every other action
    -c (p - q), less the remainder log(1 + p (e^c - 1) + q (e^-c - 1)) - c (p - q), a cumulant of a variable on
    [-c, c]: between 0 and c^2/2.
    """
    drift = pull * (winner - loser)
    normaliser = np.log1p(winner * np.expm1(pull) + loser * np.expm1(-pull))
    moved = {"chosen": pull, "rejected": -pull, "other": np.zeros_like(pull)}
    return {
        name: {"first_order": shift - drift, "exact": shift - normaliser, "bound": pull**2 / 2}
        for name, shift in moved.items()
    }


def chosen_of_margin(start: np.ndarray, moved: np.ndarray, single: np.ndarray) -> np.ndarray:
    """(seeds, R) log pi(chosen) of a single pair whose margin moved by `moved` (seeds, R).

    Adam treats the two logits alike, so they move by half of it and by minus that. start (seeds,) log pi_ref of the
    winner; single (seeds, 2) pi_ref of winner and loser.
    """
    winner, loser = single.T[:, :, None]
    return start[:, None] + pair_move(moved / 2, winner, loser)["chosen"]["exact"]


def random_pairs(seed: int, count: int, num_actions: int) -> dict[str, np.ndarray]:
    """Policies and references far apart, and three different actions each: winner, loser and another."""
    generator = np.random.default_rng(seed)
    logits, reference = generator.normal(0.0, 1.5, (2, count, num_actions))
    log_reference = reference - np.logaddexp.reduce(reference, axis=1, keepdims=True)
    actions = generator.permuted(np.tile(np.arange(num_actions), (count, 1)), axis=1)[:, :3].T
    names = dict(zip(("winner", "loser", "other"), actions, strict=True))
    return {"logits": logits, "log_reference": log_reference} | names


def pair_laws(tables: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K,) pi of the winner and of the loser of `random_pairs`, and their log(pi/pi_ref), winner less loser."""
    log_policy = tables["logits"] - np.logaddexp.reduce(tables["logits"], axis=1, keepdims=True)
    place = np.arange(len(log_policy))
    winner, loser = (log_policy[place, tables[side]] for side in ("winner", "loser"))
    reference = [tables["log_reference"][place, tables[side]] for side in ("winner", "loser")]
    return np.exp(winner), np.exp(loser), winner - loser - (reference[0] - reference[1])


def net_masses(laws: dict[str, np.ndarray], net: np.ndarray, log_policy: np.ndarray) -> dict[str, np.ndarray]:
    """(seeds, R) mass of policies (seeds, R, A) on actions in no pair and on net winners, and these winners' share.

    net: (seeds, A) sign of wins less losses; the share of the pairs that net winners win is no matter of the policy.
    """
    seen, ahead = (laws["winners"] + laws["losers"]) > 0, net > 0
    policy = np.exp(log_policy)
    share = (laws["winners"] * ahead).sum(1)
    return {
        "unseen_mass": (policy * ~seen[:, None, :]).sum(2),
        "net_mass": (policy * ahead[:, None, :]).sum(2),
        "net_share": np.repeat(share[:, None], log_policy.shape[1], axis=1),
    }


def adam_rounding(rate: float, scale: float) -> float:
    """Largest error of Adam's first step by rounding, its arguments those of `adam_first_step`.

    Where an action's pulls cancel, their rounding (16 units of the last place) is divided by Adam's 1e-8.
    """
    return 2 * rate * 16 * 2.0**-53 * scale / EPSILON + 1e-13


def adam_first_step(algorithm: str, laws: dict[str, np.ndarray], log_reference: np.ndarray, rate: float, scale: float):
    """(seeds, A) change of the logits in Adam's first step: rate g / (|g| + eps), g the descent direction at pi_ref.

    scale: what the direction of a pair is multiplied by at pi_ref, `reference_pull`.
    """
    pulled = laws["winners"] - (np.exp(log_reference) if algorithm == "pref_ft" else laws["losers"])
    direction = scale * pulled
    return rate * direction / (np.abs(direction) + EPSILON)


def sign_path(winners: np.ndarray, net: np.ndarray, log_reference: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """(seeds, R) change of the mean log pi(chosen) where every step moves the logits by rate times sign(wins - losses).

    Adam's path while the gradient keeps its size: log pi_t = log pi_ref + rate t net - log normaliser, whose slope is
    zero where pi_t's mass on net winners, less that on net losers, is the winners' own. net (seeds, A) -1, 0 or 1;
    moved (R,) rate t.
    """
    normaliser = np.logaddexp.reduce(log_reference + moved[None, :, None] * net[:, None, :], axis=2)
    return moved * (winners * net).sum(1, keepdims=True) - normaliser


def chosen_laws(laws: dict[str, np.ndarray], log_reference: np.ndarray, shift: np.ndarray) -> dict[str, np.ndarray]:
    """(seeds,) start and first step of the mean log pi(chosen), exact and first order; its largest value; counts.

    shift: (seeds, A) change of the logits in the first step. gap: of the start, less that of the rejected. single:
    (seeds, 2) pi_ref of the winner and of the loser where there is one alone, else 0.
    """
    winners, reference = laws["winners"], np.exp(log_reference)
    start = winners @ log_reference
    linear = (winners * shift).sum(1)
    logs = np.log(np.where(winners > 0, winners, 1.0))
    return {
        "start": start,
        "first_exact": start + linear - np.log(np.exp(shift) @ reference),
        "first_order": start + linear - shift @ reference,
        "entropy_bound": (winners * logs).sum(1),
        "pairs": laws["pairs"],
        "num_winners": (winners > 0).sum(1),
        "gap": (winners - laws["losers"]) @ log_reference,
        "single": np.stack([_only(winners, log_reference), _only(laws["losers"], log_reference)], axis=1),
    }


def _only(law: np.ndarray, log_reference: np.ndarray) -> np.ndarray:
    """pi_ref of the action that a law is concentrated on; 0 where there are several."""
    return np.where((law > 0).sum(1) == 1, np.exp(law @ log_reference), 0.0)
