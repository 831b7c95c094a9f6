"""Gradients of every loss with clamped log-probabilities, by hand in NumPy, and Adam's path down them.

With l_i the log-probability of a drawn action, clamped to [log eps, log(1 - eps)], and D_i the loss's derivative in
the clamped l_i, the gradient in the logits is

    sum_i D_i 1[l_i not clamped] (e_{a_i} - pi).

eps = 2^-23 is the float32 spacing at one.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit, log_softmax

EPSILON = 2.0**-23
LOW, HIGH = float(np.log(EPSILON)), float(np.log1p(-EPSILON))
_BETAS, _ADAM_EPSILON = (0.9, 0.999), 1e-8
ALGORITHMS = ("best_of_n", "best_of_n_negative", "best_of_n_worst", "rwr", "awr", "pref_ft", "dpo", "ipo")
ALGORITHMS += ("reinforce", "reinforce_running", "ppo")


def derivatives(
    name: str, clamped: np.ndarray, reference: np.ndarray, rewards: np.ndarray, numbers: Mapping[str, float]
) -> np.ndarray:
    """(K, B, N) D of the loss at the clamped log-probabilities; all arrays (K, B, N), draws of the reference."""
    _, states, draws = rewards.shape
    count = states * draws
    best = np.eye(draws)[rewards.argmax(axis=2)]
    weight = numbers["negative_weight"]
    if name == "best_of_n":
        return -best / states
    if name == "best_of_n_negative":
        return -(best - weight * (1 - best) / (draws - 1)) / states
    if name == "best_of_n_worst":
        return -(best - weight * np.eye(draws)[rewards.argmin(axis=2)]) / states
    if name == "rwr":
        return -np.exp(rewards / numbers["beta"]) / count
    if name == "awr":
        return -np.exp((rewards - rewards.mean(axis=2, keepdims=True)) / numbers["beta"]) / count
    if name == "reinforce_running":
        return -(rewards - numbers["baseline"]) / count
    others = (rewards.sum(axis=2, keepdims=True) - rewards) / (draws - 1)
    if name == "reinforce":
        return -(rewards - others) / count
    if name == "ppo":
        ratio, advantage = np.exp(clamped - reference), rewards - others
        held = np.where(advantage > 0, ratio > 1 + numbers["clip"], ratio < 1 - numbers["clip"])
        return -np.where(held, 0.0, ratio * advantage) / count
    return _pairs(name, clamped - reference, rewards, numbers)


def _pairs(name: str, ratios: np.ndarray, rewards: np.ndarray, numbers: Mapping[str, float]) -> np.ndarray:
    """Over ordered pairs (winner, loser) of a state, ties dropped: slopes of the pair's loss in its margin."""
    wins = (rewards[..., :, None] > rewards[..., None, :]).astype(float)
    margins = ratios[..., :, None] - ratios[..., None, :]
    kept = np.maximum(wins.sum(axis=(1, 2, 3)), 1.0)[:, None, None]
    if name == "pref_ft":
        return -wins.sum(axis=3) / kept
    if name == "dpo":
        slopes = -numbers["beta"] * expit(-numbers["beta"] * margins)
    else:
        slopes = 2 * (margins - numbers["ipo_target"])
    pulls = wins * slopes
    return (pulls.sum(axis=3) - pulls.sum(axis=2)) / kept


def gradient(name: str, logits: np.ndarray, tables: Mapping[str, np.ndarray], numbers, floor: bool) -> np.ndarray:
    """(K, A) gradient in the logits (K, A); tables: actions (K, B, N) int, log_reference and reward (A,)."""
    actions, log_policy = tables["actions"], log_softmax(logits, axis=1)
    lanes = np.arange(len(logits))[:, None, None]
    drawn = log_policy[lanes, actions]
    free = (drawn > LOW) & (drawn < HIGH) if floor else np.ones(drawn.shape, bool)
    clamped = np.clip(drawn, LOW, HIGH) if floor else drawn
    reference, rewards = tables["log_reference"][actions], tables["reward"][actions]
    pulls = derivatives(name, clamped, reference, rewards, numbers) * free
    placed = (lanes * logits.shape[1] + actions).ravel()
    total = np.bincount(placed, pulls.ravel(), logits.size).reshape(logits.shape)
    return total - np.exp(log_policy) * pulls.sum(axis=(1, 2))[:, None]


def adam_path(name: str, tables: Mapping[str, np.ndarray], numbers: Mapping[str, float], floor: bool, record_at):
    """(K, R, A) log pi along Adam from the reference, down the gradient of a full batch."""
    logits = np.tile(tables["log_reference"], (len(tables["actions"]), 1))
    first, second, path = 0.0, 0.0, [logits]
    for step in range(1, record_at[-1] + 1):
        slope = gradient(name, logits, tables, numbers, floor)
        first = _BETAS[0] * first + (1 - _BETAS[0]) * slope
        second = _BETAS[1] * second + (1 - _BETAS[1]) * slope**2
        ahead = first / (1 - _BETAS[0] ** step), second / (1 - _BETAS[1] ** step)
        logits = logits - numbers["learning_rate"] * ahead[0] / (np.sqrt(ahead[1]) + _ADAM_EPSILON)
        path.append(logits)
    return log_softmax(np.stack([path[step] for step in record_at], axis=1), axis=2)
