"""The checks of coverage_improvement, floor_constants and exact_chain can fail: each is seen to."""

import math

import numpy as np
import pytest
from tables import committed, failing

from banditlab import algorithms, estimators, instances, samplers, simulate
from banditlab.exact import chain as exact
from banditlab.exact import lattice
from banditlab.exact.remainder import remainder_constant
from experiments.foundation import batch_threshold, coverage_improvement
from experiments.foundation.exact_chain import LATTICE_TOLERANCE
from experiments.shared import equal_labels, floor_batches, plain_rounds, policy_draws


@pytest.mark.parametrize("ratio", coverage_improvement.RATIOS)
def test_one_violated_bound_among_thousands_of_policies_is_caught(ratio):
    values = committed("coverage_improvement")["random"][ratio].copy()
    values[3] = 1 + 1e-8
    (claim,) = failing("coverage_improvement", "random", **{ratio: values})
    assert coverage_improvement.RATIOS[ratio][1] in claim


def test_every_extremal_draw_exceeds_the_derived_share_of_the_bound_before_rounding():
    envs, params = policy_draws.extremal_instances(3, np.random.default_rng(0), 400)
    shift = np.asarray(params - envs.target_params)
    # Needles at p each: V* and V are p (I - p 11'), so C_op is max p*/p over the direction 1 and its complement.
    target, current = (np.exp(x[:, 0]) / (1 + 3 * np.exp(x[:, 0])) for x in (np.asarray(envs.target_params), params))
    along = target * (1 - 3 * target) / (current * (1 - 3 * current))
    share = np.abs(np.log(np.maximum(along, target / current))) / np.abs(shift[:, 0])
    assert np.all(share >= 1 - 2 * math.exp(-6))
    assert np.all(share <= 1)


def test_one_fit_without_a_proved_maximum_is_caught():
    counts = committed("floor_constants")["constants"]["num_unproved"].copy()
    counts[0] = 1
    (claim,) = failing("floor_constants", "constants", num_unproved=counts)
    assert "not proved to exist" in claim


@pytest.mark.parametrize("start", [0.0, -1.5])
def test_the_allowance_for_the_remainder_exceeds_the_exact_one_on_the_chain(start):
    env = instances.chain(target=1.0, start=start)
    order = floor_batches.remainder_order(env, samplers.initial(env, env.log_initial))
    exact_constant = remainder_constant(1.0, start)
    assert exact_constant < order < 3 * exact_constant


def test_a_remainder_of_another_order_is_caught():
    table = committed("floor_constants")["remainder"]
    wrong = 1 + (table["ratio"] - 1) * (table["labels"] / 100.0) ** -0.05
    assert any("slope of the remainder" in claim for claim in failing("floor_constants", "remainder", ratio=wrong))


def test_one_value_off_the_lattice_of_the_exact_law_is_caught():
    law = exact.on_policy_law(10, 1, target=1.0, beta=1.0, max_norm=3.0)
    law = exact.ChainLaw(law.params, law.probs[0])
    sample = np.random.default_rng(0).choice(law.params, 2000, p=law.probs)
    assert lattice.off_lattice(law.params, sample + 1e-9, LATTICE_TOLERANCE) == 0
    sample[0] += 1e-5
    assert lattice.off_lattice(law.params, sample, LATTICE_TOLERANCE) == 1
    off = committed("exact_chain")["num_off_lattice"].copy()
    off[0] = 1
    (claim,) = failing("exact_chain", num_off_lattice=off)
    assert "does not allow" in claim


def test_the_kolmogorov_distance_is_that_of_the_two_distribution_functions():
    values, probs = np.array([0.5, -1.0, 2.0]), np.array([0.3, 0.2, 0.5])
    sample = np.repeat([-1.0, 0.5, 2.0], [4, 2, 4])
    # .4 against .2 at -1, .6 against .5 at .5
    assert lattice.kolmogorov_distance(values, probs, sample, 1e-7) == pytest.approx(0.2, abs=1e-15)
    # A value that rounding wrote twice is one.
    twice = np.append(values, -1.0 + 1e-12), np.array([0.3, 0.15, 0.5, 0.05])
    assert lattice.kolmogorov_distance(*twice, sample, 1e-7) == pytest.approx(0.2, abs=1e-15)


def test_a_law_whose_target_is_wrong_by_five_percent_fails_in_every_arm():
    table = committed("exact_chain")
    claims = failing("exact_chain", distance=table["wrong_distance"])
    arms = set(zip(table["arm"], table["num_pairs"], table["beta"], strict=True))
    assert sum("F_N" in claim for claim in claims) == len(arms)


@pytest.mark.parametrize("name", ["staircase", "random_features"])
def test_a_drawn_curve_that_is_off_by_a_quarter_is_caught_by_the_rounds_in_plain_numpy(name):
    table = committed(name)["finite"]
    for arm in equal_labels.PLAIN_ARMS:
        moved = np.where(table["arm"] == arm, 1.25, 1.0) * table["kl"]
        (claim,) = failing(name, "finite", kl=moved)
        assert claim.startswith(f"{arm}: mean KL of a drawn round and of plain NumPy")


def test_plain_rounds_fit_what_the_library_fits():
    env = instances.staircase(3, start=1.0)
    wins = np.random.default_rng(0).integers(0, 9, (5, 1, 4, 4)) * 1.0
    centre = np.random.default_rng(1).normal(size=(5, 3))
    found = plain_rounds._fit(plain_rounds.bandit(env), wins, 0.3, centre)
    for k in range(5):
        wanted = estimators.fit(env, wins[k], ridge=0.3, center=centre[k]).params
        np.testing.assert_allclose(found[k], wanted, atol=1e-7)


def test_rounds_in_plain_numpy_have_the_means_of_the_library_where_labels_are_pooled_and_where_they_are_not():
    env, runs = instances.staircase(3, start=1.0), 2000
    for pooled in (True, False):
        sizes = {"num_pairs": 60, "ridge": 0.5, "num_rounds": 3}
        plain = plain_rounds.kl_of_rounds(
            plain_rounds.bandit(env), on_policy=True, pooled=pooled, runs=runs, seed=1, **sizes
        )
        algorithm = algorithms.on_policy_dpo(60, ridge=0.5, pooled=pooled)
        own = np.asarray(simulate(algorithm, env, num_rounds=3, num_seeds=runs).metrics["kl_target"])
        error = np.hypot(plain.std(axis=0), own.std(axis=0)) / math.sqrt(runs)
        assert (np.abs(plain.mean(axis=0) - own.mean(axis=0)) < 4.5 * error).all()


def test_a_step_over_proposition_4s_bound_is_its_formula_round_by_round():
    env = instances.staircase(2, start=1.0)
    params = np.random.default_rng(3).normal(scale=0.3, size=(4, 3, 2))
    found = np.asarray(batch_threshold._step_over_bound(env, np.float64(500.0), params))
    policy, phi = np.exp(np.asarray(env.log_target))[0], np.asarray(env.features)[0]
    centred = phi - policy @ phi
    spread = np.einsum("a,ai,aj->ij", policy, centred, centred)
    z = (phi[:, None] - phi[None]).reshape(-1, 2)
    leverage = np.einsum("ni,ij,nj->n", z, np.linalg.inv(spread), z).max()
    gaps = z @ np.asarray(env.target_params)
    radius = 2 / (2 * np.min(1 / (2 + np.exp(gaps) + np.exp(-gaps))))
    for run in range(4):
        before = np.asarray(env.start_params)
        for k, after in enumerate(params[run], 1):
            u, following = (
                math.sqrt(leverage * (theta - env.target_params) @ spread @ (theta - env.target_params))
                for theta in (before, after)
            )
            assert found[run, k] == pytest.approx(following**2 / (leverage * radius / 500 * math.exp(u)), rel=1e-9)
            before = after
