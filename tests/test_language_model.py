"""The experiments on a small language model: their helpers, tables of tiny runs, and checks that can fail."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from tables import broken_claims, committed

from banditlab import llm
from banditlab.claims import registry
from banditlab.store import Shards, Table
from experiments.language_model import llm_batch_size, llm_epochs, llm_hypo, llm_on_policy
from experiments.language_model.llm_estimates import sampled_estimates
from experiments.language_model.shared import curves, references, training_runs


@pytest.fixture(scope="module")
def small():
    """A task of 16 responses with an arbitrary reference and policy, as an evaluator and a table."""
    task = references.task_of(references.SMOKE)
    rng = np.random.default_rng(0)
    tables = [np.log(rng.dirichlet(np.ones(task.num_responses), task.num_prompts)) for _ in range(2)]
    return llm.exact.evaluator(task.reward_table, tables[0], float(task.beta)), tables[1]


def test_parameters_as_one_vector_come_back():
    model = references.model_of(references.SMOKE)
    params = jax.eval_shape(model.init, jax.random.key(0))
    filled = jax.tree.map(lambda leaf: np.random.default_rng(leaf.size).normal(size=leaf.shape), params)
    back = references.unflatten(model, references.flatten(filled))
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), filled, back)


def test_rates_are_chosen_on_references_that_no_result_is_reported_of(tmp_path):
    place = references.Lab(replace(references.SMOKE, num_references=2), Shards(tmp_path / "one" / "x", "one", "x", "s"))
    place._made = {index: (index, None) for index in range(4)}
    assert [place.of(seed)[0] for seed in range(5)] == [0, 1, 0, 1, 0]
    assert [place.of(references.TUNING + seed)[0] for seed in range(3)] == [2, 3, 2]


def test_a_held_out_run_is_the_whole_run_measured_once(tmp_path, monkeypatch):
    place = references.Lab(
        replace(references.SMOKE, pretraining_steps=10), Shards(tmp_path / "one" / "x", "one", "x", "s")
    )
    cell = training_runs.Cell(place.setup, "on_policy_dpo", (), 32, 1, 16, 3, 1e-2)
    whole = training_runs.train_cell(cell, place, 0)
    assert whole["num_labels"].tolist() == [32, 64, 96]
    monkeypatch.setattr(training_runs, "TUNING", 0)
    once = training_runs.train_cell(cell, place, 0)
    for name in training_runs.METRICS:
        np.testing.assert_array_equal(once[name], whole[name][-1:], err_msg=name)
    np.testing.assert_array_equal(once["params"], whole["params"])


def test_optimum_and_coverage_by_plain_sums_are_those_of_the_exact_metrics(small):
    evaluator, _ = small
    found = references.reference_columns([evaluator])
    exact = llm.exact.measure(evaluator, evaluator.env.log_reference)
    np.testing.assert_allclose(found["optimum"], exact["objective"] + exact["gap"], rtol=1e-10)
    np.testing.assert_allclose(found["reference_coverage"], exact["coverage"], rtol=1e-10)
    assert curves.reference_metric([evaluator], "win_rate") == 0.5


def test_exact_means_and_errors_of_estimates_are_those_of_all_draws(small):
    evaluator, log_policy = small
    law, reward = np.exp(log_policy), np.asarray(evaluator.env.reward)
    mean, error = sampled_estimates._exact(law, reward, 7)
    exact = llm.exact.measure(evaluator, log_policy)
    np.testing.assert_allclose(mean, exact["expected_reward"], rtol=1e-10)
    spread = [
        np.average((row - np.average(row, weights=p)) ** 2, weights=p) for row, p in zip(reward, law, strict=True)
    ]
    np.testing.assert_allclose(error**2, np.mean(spread) / (7 * len(law)), rtol=1e-10)
    wins, error = sampled_estimates._exact_wins(evaluator, law, np.exp(np.asarray(evaluator.env.log_reference)), 7)
    np.testing.assert_allclose(wins, exact["win_rate"], rtol=1e-10)
    assert 0 < error < 0.5 / np.sqrt(7 * len(law))


def test_the_coverage_estimate_is_unbiased_and_its_variance_is_the_stated_one(small):
    evaluator, _ = small
    found = sampled_estimates.tail_law(evaluator, (10, 1000), 20_000, 0)
    deviation = np.sqrt(found["relative_variance"] / np.array([10, 1000]))
    assert (np.abs(found["ratio"].mean(axis=1) - 1) < 4 * deviation / np.sqrt(20_000)).all()
    np.testing.assert_allclose(found["ratio"][1].std(), deviation[1], rtol=0.05)


def test_a_draw_of_another_law_fails_the_chi_squared_of_matches(small):
    evaluator, log_policy = small
    law, rng = np.exp(log_policy), np.random.default_rng(1)
    each, prompts = 4000, len(law)
    prompt = np.repeat(np.arange(prompts), each)
    for source, fits in ((law, True), (np.full_like(law, 1 / law.shape[1]), False)):
        drawn = np.concatenate([rng.choice(len(p), each, p=p / p.sum()) for p in source])
        total, freedom = sampled_estimates._chi_squared(evaluator, law, drawn, prompt, each)
        assert (total < freedom + 4 * np.sqrt(2 * freedom)) == fits


def test_a_path_is_read_at_the_first_time_that_it_reaches_a_divergence():
    kl, values = np.array([[0.0, 1.0, 0.9, 2.0]]), np.array([[4.0, 3.0, 3.5, 1.0]])
    np.testing.assert_allclose(llm_hypo._along(kl, values, np.array([[0.5, 1.0, 5.0]])), [[3.5, 3.0, 1.0]])


def test_arms_that_agree_to_the_bit_pass_no_check_of_an_order():
    same = Table.from_rows([{"gap_over": 0.0, "gap_over_se": 0.0, "seeds": 5}])
    assert not curves.less("", same, "gap_over").passed
    assert not curves.more("", same, "gap_over").passed
    assert not curves.apart("", same, same, "gap_over").passed


@pytest.mark.slow
def test_tables_have_a_row_per_cell_and_a_second_experiment_finds_the_first_ones_runs(tmp_path):
    sizes = replace(curves.SMOKE, num_seeds=2)
    shards = Shards(tmp_path / "shards" / "one" / "x", "one", "x", "s")
    parts = llm_on_policy.run(llm_on_policy.Config(references.SMOKE, sizes), shards)
    assert len(parts["rounds"]) == len(llm_on_policy.ARMS) * sizes.num_rounds
    assert parts["reference"]["win_rate"].tolist() == [0.5]
    assert parts["rates"].where(chosen=1)["arm"].tolist() == list(llm_on_policy.ARMS)
    assert (parts["rounds"].where(arm="offline")["gap_over"] == 0).all()
    assert parts["rounds"].where(arm="fixed")["num_labels"].tolist() == [64, 64]
    assert all(check.passed for check in curves.sound_checks(parts))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "shards" / "llm_cells").rglob("*.npz")}
    config = llm_epochs.Config(references.SMOKE, 64, 32, 2, sizes.rates[:1], 2)
    again = Shards(tmp_path / "shards" / "two" / "x", "two", "x", "s")
    assert len(llm_epochs.run(config, again)["epochs"]) == 2 * 2
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


# Experiment -> columns, "part.column", that are moved so that some check has to fail.
PLANTED = {
    "llm_on_policy": ("rounds.gap_over", "rounds.kl_target_over", "rounds.win_rate_over", "rounds.objective"),
    "llm_batch_size": ("ends.gap_over", "ends.gap_over_reference"),
    "llm_epochs": ("epochs.gap_over_reference", "epochs.kl_over_first", "epochs.kl_over_previous"),
    "llm_coverage_dial": ("rounds.gap", "rounds.share_left", "rounds.gap_over"),
    "llm_hypo": tuple(
        f"epochs.{name}" for name in ("kl_reference_over", "gap_over", "stopped_over_dpo", "win_rate_over_tuned")
    ),
    "llm_distillation": ("rounds.gap_over", "rounds.gap_over_dpo"),
    "llm_hybrid": ("rounds.gap_over", "rounds.kl_target_over", "rounds.win_rate_over", "reference.kl_target"),
    "llm_estimates": (
        "sets.ratio_median",
        *(f"reference.{name}" for name in ("coverage", "corpus_coverage", "corpus_optimum")),
    ),
}


@pytest.mark.parametrize(("name", "place"), [(name, place) for name in PLANTED for place in PLANTED[name]])
def test_a_check_fails_on_a_table_that_says_the_opposite(name, place):
    tables, (part, column) = committed(name), place.split(".")
    shift = 10.0 if name == "llm_estimates" else -1.0
    assert broken_claims(name, tables, part, **{column: shift * tables[part][column]}) != []


@pytest.mark.parametrize(
    ("name", "part", "column", "claim"),
    [
        ("llm_batch_size", "ends", "gap_over", "512 labels a round less 2048"),
        ("llm_coverage_dial", "rounds", "gap_over", "on-policy less offline, gap: coverage 64 less coverage 12990"),
        ("llm_hybrid", "rounds", "gap_over", "offline less hybrid, paired"),
        ("llm_hybrid", "rounds", "kl_target_over", "design of a small pool less on-policy"),
    ],
)
def test_what_only_the_paper_preset_tells_is_checked_there_and_fails_on_the_opposite(name, part, column, claim):
    tables = committed(name, "paper")
    assert broken_claims(name, tables, part) == []
    opposite = {column: -tables[part][column]}
    assert any(claim in broken for broken in broken_claims(name, tables, part, **opposite))


def test_every_experiment_of_the_family_has_its_faults_planted():
    assert set(PLANTED) == set(registry.families()["language_model"])


def test_rounds_of_every_size_have_as_many_steps():
    config = llm_batch_size.Config()
    cells = [llm_batch_size.cell(config, "offline", size, 1e-3) for size in config.num_pairs]
    assert {cell.num_pairs * cell.num_epochs // cell.batch_size for cell in cells} == {16}
