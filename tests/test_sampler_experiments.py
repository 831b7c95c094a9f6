"""The checks of sampler_ranking, exact_gradient_dynamics and design_comparison pass on what is true, and can fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import banditlab as bl
from banditlab import samplers
from banditlab.exact import gradient_rates
from banditlab.store import Shards, Table
from experiments.coverage import design_comparison, exact_gradient_dynamics, sampler_ranking
from experiments.coverage.design_comparison import ensemble, rounds
from experiments.shared import sampler_zoo


def failing(module, table):
    return [check.claim for check in module.EXPERIMENT.check(table) if not check.passed]


def changed(table, **columns):
    return Table({**table.columns, **columns})


def at(table, column, /, **equal):
    """The column's values, and the index of the one row in question."""
    row = np.flatnonzero(np.all([table[key] == value for key, value in equal.items()], axis=0))
    assert len(row) == 1
    return table[column].copy(), row[0]


@pytest.fixture(scope="module")
def dynamics(tmp_path_factory):
    experiment = exact_gradient_dynamics.EXPERIMENT
    shards = Shards(tmp_path_factory.mktemp("dynamics"), experiment.name, "0" * 16, experiment.source_hash())
    return experiment.run(experiment.presets["smoke"], shards)


def test_every_derived_rate_holds_and_an_error_of_five_percent_in_it_is_caught(dynamics):
    checks = exact_gradient_dynamics.EXPERIMENT.check(dynamics)
    assert [check.claim for check in checks if not check.passed] == []
    constants = [check for check in checks if np.isfinite(check.low) and np.isfinite(check.high)]
    assert len(constants) == 14
    for check in constants:
        assert not check.plant(0.05).passed, check.claim
        assert not check.plant(-0.05).passed, check.claim


def test_linear_convergence_where_quadratic_is_claimed_is_caught(dynamics):
    table = dynamics["constant_step"]
    rows = (table["instance"] == "2 actions") & (table["sampler"] == "uniform")
    errors = table["error"].copy()
    errors[rows] = 0.5 * 0.1 ** np.arange(rows.sum())
    (claim,) = failing(exact_gradient_dynamics, dynamics | {"constant_step": changed(table, error=errors)})
    assert "uniform, 2 actions" in claim


def test_rate_of_uniform_pairs_in_closed_form():
    # Two actions: one eigenvalue, beta^2 sigma'(r), so that the best step has rate zero.
    law = np.full((2, 2), 0.25)
    rate, step, _ = gradient_rates.linear_theory(law, np.array([0.0, 1.2]), 0.7)
    assert rate == pytest.approx(0.0, abs=1e-12)
    assert step == pytest.approx(1 / (0.7**2 * expit(1.2) * expit(-1.2)), rel=1e-12)


def test_quadratic_map_is_the_limit_of_one_step_of_mix_p():
    reward, direction = np.array([0.3, -0.6, 1.4]), np.array([0.5, -1.0, 0.2])
    for size in (1e-3, 1e-4):
        error = size * direction
        true, implicit = (table[:, None] - table[None, :] for table in (reward, reward - error))
        residual = (expit(true) - expit(implicit)) / (expit(implicit) * expit(-implicit))
        image = np.ptp(error - residual.mean(axis=1))
        assert image == pytest.approx(gradient_rates.quadratic_image(reward, error), rel=2 * size)


def test_steps_stay_within_the_derived_remainders():
    reward, direction = np.array([0.3, -0.6, 1.4]), np.array([0.5, -1.0, 0.2])
    true, law = reward[:, None] - reward[None, :], np.full((3, 3), 1 / 9)
    rate, step, bend = gradient_rates.linear_theory(law, reward, 0.7)

    def linear(error):
        implicit = true - (error[:, None] - error[None, :])
        return error - step * 0.7**2 * (2 / 9) * (expit(true) - expit(implicit)).sum(axis=1)

    for size in (3e-2, 1e-3):
        error = size * direction
        factor = np.ptp(linear(linear(error))) / np.ptp(error)
        assert abs(factor - rate**2) < gradient_rates.two_step_remainder(np.ptp(error), rate, bend)
        implicit = true - (error[:, None] - error[None, :])
        for weights in (true, implicit):  # Mix-R, Mix-P
            image = error - ((expit(true) - expit(implicit)) / (expit(weights) * expit(-weights))).mean(axis=1)
            distance = abs(np.ptp(image) - gradient_rates.quadratic_image(reward, error))
            assert 0 < distance < gradient_rates.quadratic_remainder(np.ptp(error), 3)


def test_the_order_falls_short_of_two_by_the_constant():
    error, bend = 1e-4, 3.0
    order = np.log(bend * error**2) / np.log(error)
    assert 2 - order == pytest.approx(gradient_rates.order_shortfall(error, bend, 0.0), rel=1e-12)


@pytest.fixture(scope="module")
def ranking():
    """A table with the true prices of samplers that solve no design, as if measured without error."""
    rows = []
    for instance in ("staircase", "needle"):
        env = sampler_zoo.shaped(sampler_zoo.INSTANCES[instance]())
        for place, arm in enumerate(sampler_ranking.ARMS):
            name = arm if arm in ("uniform", "on_policy", "mix_r", "mix_p", "pilaf") else "uniform"
            price = float(bl.theory.label_price(env, getattr(samplers, name)(env, env.log_target)))
            price *= 1.0 if name == arm else 1 + 0.2 * place
            price *= 0.1 if arm.startswith("oracle") else 1.0
            row = {"instance": instance, "arm": arm, "price": price, "measured": price, "measured_se": 0.006 * price}
            row |= {"prompts": "free" if arm in sampler_ranking.FREE_PROMPTS else "rho", "num_pairs": 1e14}
            rows.append(row | {"leverage": 5.0, "remainder": 1e3, "drift": 100.0, "oracle_gap": 1e-6})
    return Table.from_rows(rows)


def test_true_prices_pass_and_an_error_of_five_percent_in_one_is_caught(ranking):
    checks = sampler_ranking.EXPERIMENT.check(ranking)
    assert [check.claim for check in checks if not check.passed] == []
    for check in checks:
        if check.claim.startswith("2 n KL"):
            assert not check.plant(0.05).passed
            assert not check.plant(-0.05).passed


def test_two_samplers_in_the_wrong_order_are_caught(ranking):
    measured, first = at(ranking, "measured", instance="needle", arm="on_policy")
    _, second = at(ranking, "measured", instance="needle", arm="hybrid_mixture")
    measured[[first, second]] = measured[[second, first]]
    claims = failing(sampler_ranking, changed(ranking, measured=measured))
    assert sum("wrong order" in claim for claim in claims) == 1


def test_a_sampler_cheaper_than_its_oracle_is_caught(ranking):
    price, row = at(ranking, "price", instance="staircase", arm="pilaf")
    _, oracle = at(ranking, "price", instance="staircase", arm="oracle_conditional")
    price[row] = 0.999 * price[oracle]
    claims = failing(sampler_ranking, changed(ranking, price=price))
    assert any("oracle, conditional, staircase" in claim for claim in claims)


def test_seeds_make_eight_standard_errors_smaller_than_the_error_to_catch():
    seeds = sampler_zoo.seeds_needed(0.8, 9, 0.05)
    assert seeds % 128 == 0
    assert 8 * 0.8 / np.sqrt(seeds * 8) < 0.05


def test_copying_a_prompt_changes_no_label_price():
    original = bl.instances.staircase(4, step=0.5, start=1.5)
    copied = sampler_zoo.shaped(original)
    for sampler in (samplers.initial, samplers.pilaf, samplers.mix_p):
        one, two = (bl.theory.label_price(env, sampler(env, env.log_target)) for env in (original, copied))
        assert float(one) == pytest.approx(float(two), rel=1e-10)


def test_designs_of_a_batch_are_those_of_its_members_with_their_certificates():
    envs = ensemble.environments(5, seed=1)
    batch = ensemble.SOLVE["free"](envs)
    assert float(batch.duality_gap.max()) <= ensemble.GAP
    for lane in (0, 4):
        alone = ensemble.SOLVE["free"](_repeated(envs, lane))
        np.testing.assert_allclose(alone.pair_law[0], batch.pair_law[lane], atol=1e-6)


def _repeated(envs, lane):
    """A batch of the same size, and so of the same compiled program, of one environment."""
    return jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[lane : lane + 1], leaf.shape[0], axis=0), envs)


def test_hybrid_pairs_on_the_triple_design_are_the_library_s():
    env = bl.instances.random_features(2, 5, 4)
    rng = np.random.default_rng(0)
    law = rng.dirichlet(np.ones(50)).reshape(2, 5, 5)
    law = (law + law.swapaxes(1, 2)) / 2
    marginal = law.sum(axis=2)
    totals = marginal.sum(axis=1)
    parts = (law, law, totals, marginal / totals[:, None], 0.0, 0, True)
    design = bl.designs.Design(*(jnp.asarray(part) for part in parts))
    expected = samplers.paired(design, env, env.log_target)
    np.testing.assert_allclose(rounds.paired(jnp.asarray(law), env.log_target), expected, rtol=1e-12)


@pytest.fixture(scope="module")
def comparison():
    """Tables in which everything that is claimed holds."""
    designs, rows = [], []
    for name in ensemble.DESIGNS:
        row = {"design": name, "num_instances": 125, "uncertified": 0, "disordered": 0, "trace": 0.9}
        row |= {"least_price": 1.05, "cheaper": 0.9 if name.startswith("reweighted") else 0.5, "cheaper_se": 0.025}
        designs.append(row)
    leverage = [{"design": name, "largest": 1.0, "least": 1.0} for name in ensemble.LEVERAGE]
    better = {("random features", "reweighted"): 0.6, ("needle", "reweighted"): 1.4}
    for instance in ensemble.NAMED:
        for arm in rounds.ARMS:
            row = {"instance": instance, "arm": arm, "labels": 3200}
            ratio = 1.0 if arm == "design" else better.get((instance, arm), 0.8)
            rows.append(row | {"relative": ratio, "relative_se": 0.02, "price": 10 * ratio})
    parts = {"designs": designs, "leverage": leverage, "rounds": rows}
    return {part: Table.from_rows(listed) for part, listed in parts.items()}


def one_changed(tables, part, column, value, **equal):
    values, row = at(tables[part], column, **equal)
    values[row] = value
    return tables | {part: changed(tables[part], **{column: values})}


@pytest.mark.parametrize(
    ("column", "value", "design", "words"),
    [
        ("uncertified", 1, "joint", "without their certificate"),
        ("disordered", 1, "triple", "smaller set"),
        ("largest", 1.0001, "conditional_pairs", "leverage over its bound"),
        ("least", 0.9999, "triple", "Kiefer-Wolfowitz"),
        ("trace", 1.0001, "joint", "trace constant"),
        ("least_price", 0.9999, "reweighted", "over the oracle's"),
        ("cheaper", 1.0, "triple", "joint has a smaller C_F than triple"),
        ("cheaper", 0.0, "triple", "triple has a smaller C_F than joint"),
        ("cheaper", 0.55, "reweighted", "most"),
    ],
)
def test_each_fact_on_designs_is_checked(comparison, column, value, design, words):
    assert failing(design_comparison, comparison) == []
    part = "leverage" if column in ("largest", "least") else "designs"
    (claim,) = failing(design_comparison, one_changed(comparison, part, column, value, design=design))
    assert words in claim


@pytest.mark.parametrize(
    ("instance", "arm", "value", "words"),
    [
        ("random features", "reweighted", 0.95, "better"),
        ("needle", "reweighted", 1.05, "worse"),
        ("random features", "plug_in_oracle", 0.95, "better"),
        ("staircase", "plug_in_oracle", 1.09, "not worse"),
    ],
)
def test_each_comparison_of_rounds_is_checked(comparison, instance, arm, value, words):
    wrong = one_changed(comparison, "rounds", "relative", value, instance=instance, arm=arm)
    (claim,) = failing(design_comparison, wrong)
    assert claim.endswith(words)


def test_a_price_on_the_wrong_side_of_the_plain_design_is_caught(comparison):
    wrong = one_changed(comparison, "rounds", "price", 9.9, instance="needle", arm="reweighted")
    (claim,) = failing(design_comparison, wrong)
    assert "C_F of reweighted" in claim
