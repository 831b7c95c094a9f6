"""Steps on pairs, laws in infinite data and crossings of the didactic experiments, and where their checks break."""

import itertools
import math

import numpy as np
import pytest
from tables import committed, failing

from banditlab.didactic.data_sets import winner_laws
from banditlab.didactic.problem import problem
from banditlab.exact import frontier, pair_steps, population_losses
from banditlab.exact import loss_limits as frontier_laws
from experiments.didactic.negative_gradient.runs import crossings

REWARD = np.array([0.0, 0.3, 0.3, 0.7, 1.0])
LAW = np.array([0.4, 0.25, 0.05, 0.2, 0.1])


def test_a_step_on_a_pair_raises_the_chosen_and_moves_all_else_by_the_difference_of_probabilities():
    policy = np.array([0.5, 0.2, 0.3])
    for pull in (1e-3, 0.7):
        logits = np.log(policy) + np.array([pull, -pull, 0.0])
        moved = logits - np.log(np.exp(logits).sum()) - np.log(policy)
        moves = pair_steps.pair_move(np.array([pull]), policy[:1], policy[1:2])
        for change, side in zip(moved, ("chosen", "rejected", "other"), strict=True):
            assert change == pytest.approx(moves[side]["exact"][0], abs=1e-15)
            assert -moves[side]["bound"][0] <= change - moves[side]["first_order"][0] <= 0
        assert moves["chosen"]["first_order"][0] == pytest.approx(pull * (1 - 0.5 + 0.2))
        assert moves["other"]["first_order"][0] == pytest.approx(-pull * 0.3)


def test_pulls_are_minus_the_slopes_of_the_losses():
    ratio, width = np.array([-0.8, 0.4, 3.0]), 1e-5
    for algorithm, loss in (
        ("dpo", lambda h: np.log1p(np.exp(-0.3 * h))),
        ("ipo", lambda h: (h - 2.0) ** 2),
    ):
        slope = (loss(ratio + width) - loss(ratio - width)) / (2 * width)
        # A central difference is off by width^2/6 of the third derivative, and by rounding over the width.
        assert pair_steps.pair_pull(algorithm, ratio, 0.3, 2.0) == pytest.approx(-slope, abs=1e-9)


def test_a_pair_at_the_reference_pulls_as_its_laws_say():
    for algorithm in ("dpo", "ipo"):
        pull = pair_steps.pair_pull(algorithm, np.zeros(1), 0.3, 2.0)
        assert pull == pytest.approx(pair_steps.reference_pull(algorithm, 0.3, 2.0))
    tables = pair_steps.random_pairs(0, 7, 5)
    actions = np.stack([tables[side] for side in ("winner", "loser", "other")])
    assert all(len(set(column)) == 3 for column in actions.T.tolist())
    winner, loser, ratio = pair_steps.pair_laws(tables)
    logs = tables["logits"] - tables["log_reference"]
    for k in range(7):
        policy = np.exp(tables["logits"][k]) / np.exp(tables["logits"][k]).sum()
        assert (winner[k], loser[k]) == pytest.approx((policy[actions[0, k]], policy[actions[1, k]]))
        assert ratio[k] == pytest.approx(logs[k, actions[0, k]] - logs[k, actions[1, k]])


def test_the_margin_of_a_single_pair_says_where_the_chosen_are():
    reference, half = np.array([0.5, 0.2, 0.3]), np.array([0.0, 0.4, -0.9])
    logits = np.log(reference) + half[:, None] * np.array([1.0, -1.0, 0.0])
    moved = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    margin = (moved[:, 0] - moved[:, 1] - np.log(0.5 / 0.2))[None]
    found = pair_steps.chosen_of_margin(np.log(reference[:1]), margin, reference[None, :2])
    assert found[0] == pytest.approx(moved[:, 0], abs=1e-14)


def test_net_masses_are_sums_over_actions_and_the_first_step_is_rounded_by_no_more_than_its_bound():
    laws = {"winners": np.array([[0.5, 0.3, 0.2, 0.0]]), "losers": np.array([[0.0, 0.3, 0.7, 0.0]])}
    net = np.sign(laws["winners"] - laws["losers"])
    masses = pair_steps.net_masses(laws, net, np.log([[[0.4, 0.1, 0.3, 0.2], [0.7, 0.1, 0.1, 0.1]]]))
    wanted = {"unseen_mass": [[0.2, 0.1]], "net_mass": [[0.4, 0.7]], "net_share": [[0.5, 0.5]]}
    assert masses == {name: pytest.approx(np.array(values)) for name, values in wanted.items()}
    log_reference, rate = np.log(np.full(4, 0.25)), 0.03
    exact = pair_steps.adam_first_step("ipo", laws, log_reference, rate, 20.0)
    # The second action's pulls cancel: 0.1 + 0.2 in place of 0.3 leaves one unit of the last place.
    rounded = laws | {"winners": np.array([[0.5, 0.1 + 0.2, 0.2, 0.0]])}
    moved = np.abs(pair_steps.adam_first_step("ipo", rounded, log_reference, rate, 20.0) - exact)
    assert 0 < moved.max() < pair_steps.adam_rounding(rate, 20.0)


def test_counted_data_sets_are_those_that_training_draws():
    bandit = problem(70.0)
    laws = winner_laws(bandit, 3, 2, 4, 0)
    assert laws["pairs"].max() <= 3
    for side in ("winners", "losers"):
        assert laws[side].sum(1) == pytest.approx(np.ones(4))
        assert (laws[side] * laws["pairs"][:, None] == np.round(laws[side] * laws["pairs"][:, None])).all()
    reward = np.asarray(bandit.reward)
    assert (laws["winners"] @ reward > laws["losers"] @ reward).all()


def test_sign_descent_turns_where_the_mass_on_net_winners_is_their_share_of_wins():
    net, winners = np.array([[1.0, 1.0, -1.0, 0.0]]), np.array([[0.5, 0.2, 0.3, 0.0]])
    log_reference = np.log([0.1, 0.2, 0.5, 0.2])
    path = pair_steps.sign_path(winners, net, log_reference, 0.1 * np.arange(200))[0]
    turn = int(np.argmax(path))
    logits = log_reference + 0.1 * np.arange(200)[:, None] * net
    mass = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) @ net[0]
    assert mass[turn - 1] < winners[0] @ net[0] < mass[turn + 1]
    assert path[0] == pytest.approx(0.0, abs=1e-15)


def test_laws_of_the_maximum_and_of_winners_are_those_of_an_enumeration():
    best, won = np.zeros(5), np.zeros(5)
    for draws in itertools.product(range(5), repeat=3):
        best[max(draws, key=lambda a: REWARD[a])] += LAW[list(draws)].prod()
    for first, second in itertools.product(range(5), repeat=2):
        if REWARD[first] > REWARD[second]:
            won[first] += 2 * LAW[first] * LAW[second]
    found = np.exp(frontier_laws.maximum_law(REWARD, np.log(LAW), 3))
    assert found == pytest.approx(best, abs=1e-15)
    assert np.exp(frontier_laws.winner_law(REWARD, np.log(LAW))) == pytest.approx(won / won.sum(), abs=1e-15)


def test_the_rank_tilt_minimises_the_population_loss_of_ipo_and_is_the_rank_without_ties():
    tilt = frontier_laws.rank_tilt(REWARD, np.log(LAW), 2.0) - np.log(LAW)
    residual = sum(
        LAW[a] * LAW[b] * (tilt[a] - tilt[b] - 2.0) * (np.eye(5)[a] - np.eye(5)[b])
        for a, b in itertools.product(range(5), repeat=2)
        if REWARD[a] > REWARD[b]
    )
    assert residual == pytest.approx(np.zeros(5), abs=1e-14)
    ranked = np.arange(5.0)
    rank = np.cumsum(LAW) - LAW - (1 - np.cumsum(LAW))
    tilt = frontier_laws.rank_tilt(ranked, np.log(LAW), 2.0) - np.log(LAW)
    assert np.diff(tilt) == pytest.approx(2.0 * np.diff(rank), abs=1e-13)


def test_the_dual_bound_holds_for_random_policies_and_is_met_by_tilts():
    generator = np.random.default_rng(0)
    tables = REWARD, np.log(LAW)
    for policy in generator.dirichlet(np.ones(5), 50):
        kl, reward = frontier_laws.place(tables, np.log(policy))
        assert reward <= frontier.most_reward(*tables, np.asarray(kl))
    kl, reward = frontier_laws.place(tables, frontier_laws.tilted(*tables, 1.0))
    assert frontier.most_reward(*tables, np.asarray(kl)) == pytest.approx(reward, abs=1e-12)


def test_a_crossing_is_interpolated_where_the_sign_changes_and_bracketed_where_it_is_sure():
    margins = zip((10.0, 20.0, 30.0, 40.0), (0.3, 0.1, -0.1, -0.4), (0.01, 0.01, 0.05, 0.01), strict=True)
    along = [{"peak": peak, "margin": margin, "margin_se": error} for peak, margin, error in margins]
    assert crossings(along) == [(pytest.approx(25.0), 20.0, 40.0)]
    assert crossings(along[:3]) == []


def test_checks_fail_for_a_path_above_the_frontier_and_for_chosen_that_rise():
    above = committed("reward_kl_frontier")["paths"]["above_bound"].copy()
    above[-1] = 1e-6
    assert any("min_t" in claim for claim in failing("reward_kl_frontier", "paths", above_bound=above))
    chosen = np.full(len(committed("likelihood_displacement")["path"]), 0.1)
    broken = failing("likelihood_displacement", "path", chosen=chosen)
    assert sum("fall of log pi" in claim and "to the end" in claim for claim in broken) == 4


def test_checks_fail_where_a_negative_gradient_gains_nothing():
    margin = np.zeros(len(committed("negative_gradient")["margin"]))
    assert len(failing("negative_gradient", "margin", margin=margin)) >= 15


@pytest.mark.parametrize("name", [*population_losses.LINEAR])
@pytest.mark.parametrize("num_samples", [2, 3])
def test_population_coefficients_are_the_mean_weights_of_all_draws(name, num_samples):
    """E C by listing every outcome of N draws: what log pi of an action is multiplied by, as the loss is normalised."""
    reward, probs = np.asarray([0.1, 0.9, 0.4, 0.7]), np.asarray([0.4, 0.1, 0.3, 0.2])
    numbers = population_losses.Numbers(num_samples, 0.3, 1.0, 10.0, 0.5)
    wanted, kept = np.zeros(4), 0.0
    for draws in itertools.product(range(4), repeat=num_samples):
        chance, values = probs[list(draws)].prod(), reward[list(draws)]
        best, worst = draws[int(np.argmax(values))], draws[int(np.argmin(values))]
        weights = np.zeros(4)
        if name.startswith("best_of_n"):
            weights[best] += 1
            if name == "best_of_n_worst":
                weights[worst] -= 0.5
            if name == "best_of_n_negative":
                for one in draws:
                    weights[one] -= 0.5 / (num_samples - 1)
                weights[best] += 0.5 / (num_samples - 1)
        elif name == "pref_ft":
            for i, j in itertools.combinations(draws, 2):
                if reward[i] != reward[j]:
                    weights[i if reward[i] > reward[j] else j] += 1
                    kept += chance
        else:
            for i, one in enumerate(draws):
                others = np.delete(values, i).mean()
                factor = {
                    "rwr": math.exp(values[i] / 0.3),
                    "awr": math.exp((values[i] - values.mean()) / 0.3),
                    "reinforce": values[i] - others,
                    "ppo": values[i] - others,
                }
                weights[one] += factor[name] / num_samples
        wanted += chance * weights
    if name == "pref_ft":
        wanted /= kept
    np.testing.assert_allclose(population_losses.coefficients(name, reward, probs, numbers), wanted, rtol=1e-12)
