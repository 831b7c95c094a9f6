"""The formulas behind the experiments on reward models and on the probability floor, and errors planted in them."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, log_softmax
from tables import committed, failing

from banditlab.didactic import losses
from banditlab.exact import clamped_losses as floor_gradients
from banditlab.exact import reward_models as label_laws

REWARD, PROBS, TEMPERATURE = np.array([0.1, 0.6, 0.3]), np.array([0.5, 0.2, 0.3]), 0.4


def test_the_information_of_labels_is_the_mean_square_of_their_scores():
    information = np.zeros((3, 3))
    for first, second in itertools.product(range(3), repeat=2):
        for winner, loser in ((first, second), (second, first)):
            chance = expit((REWARD[winner] - REWARD[loser]) / TEMPERATURE)
            score = (1 - chance) * (np.eye(3)[winner] - np.eye(3)[loser])
            information += PROBS[first] * PROBS[second] * chance * np.outer(score, score)
    np.testing.assert_allclose(label_laws.laplacian(REWARD, PROBS, TEMPERATURE), information, atol=1e-15)
    law = label_laws.win_law(REWARD, PROBS, TEMPERATURE)
    assert law.sum() == pytest.approx(1)
    spread = label_laws.distances(REWARD, PROBS, TEMPERATURE)
    grounded = np.linalg.inv(information[:2, :2])  # the last reward held at zero
    assert spread[0, 2] == pytest.approx(grounded[0, 0])
    assert spread[0, 1] == pytest.approx(grounded[0, 0] + grounded[1, 1] - 2 * grounded[0, 1])


def test_the_error_for_many_labels_is_that_of_the_distances_and_the_ridge_moves_the_fit_by_less_than_its_bound():
    spread = label_laws.distances(REWARD, PROBS, TEMPERATURE)
    pairs = itertools.product(range(3), repeat=2)
    error = sum(PROBS[first] * PROBS[second] * spread[first, second] for first, second in pairs)
    assert label_laws.error(REWARD, PROBS, TEMPERATURE) == pytest.approx(TEMPERATURE**2 * error)
    truth = (REWARD - REWARD.mean()) / TEMPERATURE
    for ridge in (0.01, 1.0):
        found = label_laws.fit(1e3 * label_laws.win_law(REWARD, PROBS, TEMPERATURE)[None], ridge)[0]
        bound = label_laws.ridge_bound(REWARD, PROBS, TEMPERATURE, 1e3, ridge)
        # The slowest direction need not be the truth's, and the curvature halves nowhere near here.
        assert bound / 8 < np.linalg.norm(found - truth) < bound


def test_fits_by_numpy_are_stationary_and_agreements_and_winners_those_of_an_enumeration():
    wins = np.random.default_rng(0).poisson(4.0, (5, 3, 3)).astype(float)
    learned = label_laws.fit(wins, 0.1)
    chance = expit(learned[:, :, None] - learned[:, None, :])
    slope = ((wins + wins.transpose(0, 2, 1)) * chance - wins).sum(2) + 0.1 * learned
    np.testing.assert_allclose(slope, 0, atol=1e-10)
    right, best, kept = np.zeros(5), np.zeros(5), np.zeros(5)
    for first, second in itertools.product(range(3), repeat=2):
        if first != second:
            agree = np.sign(learned[:, first] - learned[:, second]) == np.sign(REWARD[first] - REWARD[second])
            winner = np.where(learned[:, first] > learned[:, second], REWARD[first], REWARD[second])
            right += PROBS[first] * PROBS[second] * agree
            best += PROBS[first] * PROBS[second] * winner
            kept += PROBS[first] * PROBS[second]
    np.testing.assert_allclose(label_laws.agreements(learned, REWARD, PROBS), right / kept)
    np.testing.assert_allclose(label_laws.winners(learned, REWARD, PROBS), best / kept)
    gap = np.subtract.outer(learned[0] - REWARD, learned[0] - REWARD)
    assert label_laws.squared_error(learned, REWARD, PROBS)[0] == pytest.approx(PROBS @ gap**2 @ PROBS)
    truth = label_laws.winners(REWARD[None], REWARD, PROBS)[0]
    same = (PROBS**2).sum()
    # Without noise the winner of a pair; a pair of one action is a tie, and has its reward.
    noiseless = label_laws.noisy_winner(REWARD, PROBS, 1e-6)
    assert noiseless == pytest.approx((1 - same) * truth + PROBS**2 @ REWARD)


def test_actions_below_the_floor_feel_the_normaliser_alone():
    logits = np.array([[0.0, -20.0, -3.0, 1.0]])
    tables = {"actions": np.array([[[0, 1], [2, 1]]]), "log_reference": np.log(np.full(4, 0.25))}
    tables |= {"reward": np.array([1.0, 0.2, 0.5, 0.0])}
    numbers = {"negative_weight": 0.5, "beta": 0.3, "ipo_target": 1.0}
    log_policy = log_softmax(logits[0])
    assert log_policy[1] < np.log(losses.FLOOR) == floor_gradients.LOW
    for name in ("best_of_n_negative", "dpo", "ipo"):
        free, floored = (floor_gradients.gradient(name, logits, tables, numbers, on)[0] for on in (False, True))
        pulled = -floored[3] / np.exp(log_policy[3])
        assert floored[1] == pytest.approx(-np.exp(log_policy[1]) * pulled, rel=1e-12)
        assert abs(free[1]) > 1e4 * abs(floored[1])  # the rejected draw's own term


def test_errors_planted_in_the_floor_and_in_the_labels_are_seen():
    sizes = {part: np.ones(len(table)) for part, table in committed("probability_floor").items()}
    broken = failing("probability_floor", "rejected", error=0.05 * sizes["rejected"])
    assert sum("by hand" in claim for claim in broken) == 3
    broken = failing("probability_floor", "rejected", rejected=-20.0 * sizes["rejected"])
    assert sum("prevents" in claim for claim in broken) == 2
    broken = failing("probability_floor", "gradient", floored_own=1e-3 * sizes["gradient"])
    assert len(broken) >= len(floor_gradients.ALGORITHMS)
    tables = committed("reward_model_labels")
    for factor in (0.95, 1.05):
        broken = []
        for part, columns in {
            "fits": ("error_predicted", "agreement_predicted"), "direct": ("predicted",), "learned": ("predicted",)
        }.items():  # fmt: skip
            broken += failing("reward_model_labels", part, **{name: factor * tables[part][name] for name in columns})
        assert len(broken) == 8
