"""The library's door: what is wrong with an argument is one error that names it, whatever the function."""

import inspect
import math
import pickle
import types
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab import door, theory, validation
from banditlab.didactic import policies, problem, settings, training
from banditlab.estimators import chi_po
from banditlab.estimators.descent import descend
from banditlab.store import provenance, tables
from banditlab.store.tables import Table

CHAIN = bl.instances.chain()
ONE_ACTION = bl.Environment.create(np.ones((1, 1, 1)), target_params=[1.0], unidentified="allow")
LAW, HALF = jnp.full((1, 2, 2), 0.25), jnp.log(jnp.full((1, 2), 0.5))
KEY = jax.random.key(0)
DIDACTIC = {"num_steps": 2, "num_states": 2, "num_samples": 2, "on_policy": True, "seeds": 1}
PEAK = problem.problem(70.0, 10.0)
DPO = bl.algorithms.on_policy_dpo(3)


def run(algorithm=DPO, env=CHAIN, **options):
    return bl.simulate(algorithm, env, **({"num_rounds": 1, "num_seeds": 1} | options))


def train(algorithm="dpo", policy=None, peak=PEAK, **options):
    return training.train(algorithm, policy or policies.tabular(), peak, **(DIDACTIC | options))


BAD = [
    # Numbers that are none, or that would be rounded, wrapped or cut.
    (lambda: bl.algorithms.on_policy_dpo("800"), "num_pairs must be a number; got '800'"),
    (lambda: bl.algorithms.on_policy_dpo(b"800"), "num_pairs must be a number; got b'800'"),
    (lambda: bl.algorithms.on_policy_dpo(2**53 + 1), "num_pairs must be a number that float64 holds exactly"),
    (lambda: bl.algorithms.on_policy_dpo(np.uint64(2**63)), r"num_pairs must be at most 2\^53"),
    (lambda: bl.algorithms.on_policy_dpo(3 + 0j), "num_pairs must be a number"),
    (lambda: bl.instances.chain(beta=10**400), "beta must be a number that float64 holds"),
    (
        lambda: bl.Environment.create([[[1j], [0]]], target_params=[1.0]),
        "features must be an array of numbers; got complex",
    ),
    (
        lambda: bl.Environment.create([[["1"], ["0"]]], target_params=[1.0]),
        "features must be an array of numbers; got str",
    ),
    (lambda: bl.Environment.create([[[b"1"], [b"0"]]], target_params=[1.0]), "features must be an array of numbers"),
    (
        lambda: bl.Environment.create([[[10**400], [0]]], target_params=[1.0]),
        r"features must hold numbers of at most 2\^53",
    ),
    (
        lambda: bl.Environment.create([[[2**53 + 1], [0]]], target_params=[1.0]),
        r"features must hold numbers of at most 2\^53",
    ),
    (lambda: bl.instances.tabular([[1e308, -1e308]], beta=1e-307), "reward / beta must be finite numbers"),
    (lambda: bl.planner.plan(CHAIN, np.ones((1, 2, 2), complex)), "wins must be an array of numbers; got complex"),
    (lambda: run(first_seed=2**32 - 5, num_seeds=300), r"first_seed \+ num_seeds must be at most 2\^32 - 1"),
    (lambda: run(seed=2**32), r"seed must be a whole number from 0 to 2\^32 - 1"),
    (lambda: run(num_rounds=2**40), r"num_rounds must be below 2\^31"),
    (lambda: run(num_rounds=2**30), "num_rounds must make tables of at most"),
    (
        lambda: bl.trajectories.paths(CHAIN, LAW[None], record_at=[2**40], step_size=0.1),
        r"record_at must be whole .* 2\^31 - 1",
    ),
    (
        lambda: bl.trajectories.paths(CHAIN, LAW[None], record_at=[1], step_size=0.1, tolerance=-1),
        "tolerance must be non-neg",
    ),
    (
        lambda: bl.trajectories.paths(CHAIN, LAW[None], record_at=[1], step_size=0.1, tolerance="a"),
        "tolerance must be a num",
    ),
    (lambda: bl.algorithms.hypo(10, 0.1, num_steps=2**33), r"num_steps must be below 2\^31"),
    (lambda: bl.algorithms.rlhf(10, policy="rloo", num_steps=2**33), r"num_steps must be below 2\^31"),
    (lambda: train(num_steps=2**33), r"num_steps must be below 2\^31"),
    (lambda: train(reuse=2**40), r"reuse must be below 2\^31"),
    (lambda: train(refresh=2**31), r"refresh must be below 2\^31"),
    (lambda: bl.designs.joint(CHAIN, max_steps=10**12), r"max_steps must be below 2\^31"),
    (lambda: Table({"n": np.array([2**63], np.uint64)}), r"column n must hold integers below 2\^63"),
    # Laws and tables of the wrong shape, sum or values.
    (lambda: theory.label_price(CHAIN, LAW / 2), "pair_law must sum to 1; got a sum of 0.5"),
    (lambda: theory.label_price(CHAIN, LAW * math.nan), "pair_law must be finite; got nan"),
    (lambda: theory.fisher_information(CHAIN, 2 * LAW), "pair_law must sum to 1; got a sum of 2.0"),
    (lambda: bl.preferences.draw_counts(KEY, LAW * math.nan, 10), "outcome_law must be finite; got nan"),
    (lambda: bl.estimators.proximity(CHAIN, LAW * math.nan, jnp.zeros(1)), "wins must be finite; got nan"),
    (lambda: bl.metrics.gap(CHAIN, HALF[:, :1]), r"log_policy must be \(1, 2\); got \(1, 1\)"),
    (lambda: bl.metrics.gap(CHAIN, jnp.full((1, 2), 0.5)), "log_policy must hold log-probabilities that sum to 1"),
    (lambda: bl.metrics.gap(CHAIN, HALF * math.nan), "log_policy must hold log-probabilities"),
    *(
        (lambda sampler=sampler: sampler(CHAIN, jnp.log(jnp.full((3, 3), 1 / 3))), r"log_policy must be \(1, 2\); got")
        for sampler in (bl.samplers.initial, bl.samplers.on_policy, bl.samplers.mix_p, bl.samplers.uniform)
    ),
    (
        lambda: bl.planner.problem(np.eye(2)[None]) and theory.kl_bounds(CHAIN, jnp.asarray([math.nan])),
        "params must be finite",
    ),
    (lambda: theory.predicted_kl_pooled(CHAIN, jnp.eye(2)), r"information must be \(1, 1\); got \(2, 2\)"),
    (lambda: bl.coverage.leverage(CHAIN, jnp.full((1, 1), math.nan)), "second_moment must be finite; got nan"),
    (lambda: bl.planner.apportion(np.full((1, 2, 2), 0.25), -3), "num_pairs must be a whole number of at least 1"),
    (lambda: bl.planner.apportion(np.full((1, 2, 2), math.nan), 3), "law must hold no nan; got nan"),
    (lambda: bl.planner.apportion(np.eye(2)[None] / 2, 3), "law must show a pair of two different actions"),
    # Arguments of the wrong kind.
    *(
        (lambda env=env: bl.metrics.gap(env, HALF), "env must be an Environment; got")
        for env in (None, "chain", {}, np.ones((1, 2)), 3, bl.instances.chain)
    ),
    (lambda: bl.designs.triple({}), "env must be an Environment; got a dict"),
    (lambda: bl.samplers.designed(None, CHAIN, HALF), "design must be a Design; got None"),
    (lambda: run(CHAIN, DPO), "env must be an Environment; got an Algorithm"),
    (lambda: run(bl.algorithms.on_policy_dpo), "algorithm must be an Algorithm; got a function"),
    (lambda: bl.simulate_grid(DPO, [CHAIN], num_rounds=1, num_seeds=1), "algorithms must be a list; got an Algorithm"),
    (lambda: bl.simulate_grid([DPO], [None], num_rounds=1, num_seeds=1), r"envs\[0\] must be an Environment; got None"),
    (lambda: run(metrics="gap"), "metrics must be a list; got 'gap'"),
    (lambda: run(metrics=("gapp",)), "metrics must be among"),
    (lambda: bl.algorithms.dpo(None, 5), "sampler must be callable or a Prepared; got None"),
    *(
        (lambda make=make: make(labeller=None), "labeller must be callable; got None")
        for make in (
            lambda **options: bl.algorithms.on_policy_dpo(5, **options),
            lambda **options: bl.algorithms.hypo(5, 0.1, **options),
            lambda **options: bl.algorithms.ipo(5, **options),
            lambda **options: bl.algorithms.rlhf(5, **options),
        )
    ),
    (lambda: bl.algorithms.hypo(10, 0.1, loss="x"), "loss must be one of 'dpo', 'ipo'; got 'x'"),
    (lambda: bl.algorithms.hypo(10, 0.1, loss=3), "loss must be one of 'dpo', 'ipo'; got 3"),
    (lambda: bl.preferences.draw_counts(0, LAW, 10), "key must be a random key, as jax.random.key gives; got 0"),
    (lambda: bl.metrics.kl_target(CHAIN, [[0.0, "a"]]), "log_policy must be an array of numbers"),
    (lambda: bl.testing.check_algorithm(3), "algorithm must be an Algorithm; got 3"),
    (lambda: train(on_policy="offline"), "on_policy must be True or False; got 'offline'"),
    (lambda: train(floor="no"), "floor must be True or False; got 'no'"),
    (lambda: train(policy="tabular"), "policy must be a Policy; got 'tabular'"),
    (lambda: train(peak=3), "problem must be a Problem; got 3"),
    (lambda: train(settings={}), "settings must be a Settings; got a dict"),
    (
        lambda: bl.metrics.gap(jax.tree.map(lambda leaf: leaf[None], CHAIN), HALF),
        "env must be one environment.*use jax.vmap",
    ),
    # Sizes without a limit, and counts that are none.
    (lambda: bl.instances.staircase(10**9), r"num_stairs must make tables of at most 2\^27 numbers"),
    (lambda: bl.instances.needle(10**9), "num_needles must make tables of at most"),
    (lambda: bl.instances.partial_coverage(10**9), "num_actions must make tables of at most"),
    (lambda: bl.instances.random_features(10**4, 10**4, 10**4), "num_features must make tables of at most"),
    (
        lambda: bl.scenarios.many_contexts_one_uncovered(num_contexts=1e308),
        "num_contexts .* must make tables of at most",
    ),
    (
        lambda: bl.preferences.wins_from_comparisons([0], [0], [1], shape=(1e6, 1e6)),
        "shape must make tables of at most",
    ),
    (lambda: bl.policy_gradients.sample(KEY, HALF, -1), "num_samples must be a whole number of at least 1"),
    (
        lambda: bl.policy_gradients.sample(KEY, HALF, 2**53 + 1),
        "num_samples must be a number that float64 holds exactly",
    ),
    (lambda: bl.policy_gradients.sample(KEY, HALF, 2**31 - 1), "num_samples must make tables of at most"),
    (lambda: theory.recursion(CHAIN, 2.0, 100.0, -1), "num_rounds must be a whole number of at least 1"),
    (lambda: theory.recursion(CHAIN, 2.0, -1.0, 3), "num_pairs must be positive"),
    (lambda: theory.batch_threshold(CHAIN, math.nan), "start must be non-negative; got nan"),
    (lambda: bl.samplers.greedy_leverage(CHAIN, HALF, num_picks=0), "num_picks must be a whole number of at least 1"),
    (lambda: bl.one_sided.critical_penalty(0.5, -1e308), "log_odds must be between -1e6 and 1e6; got -1e\\+308"),
    (lambda: bl.one_sided.critical_penalty(0.5, 1e308), "log_odds must be between"),
    (lambda: bl.one_sided.critical_penalty(0.5, "x"), "log_odds must be a number; got 'x'"),
    (lambda: bl.preferences.draw_counts(KEY, LAW, 10, capacity="x"), "capacity must be a number; got 'x'"),
    (lambda: bl.preferences.draw_counts(KEY, LAW, 10, capacity=-1), "capacity must be a whole number of at least 1"),
    (lambda: bl.preferences.draw_counts(KEY, LAW, 10, capacity=4), "capacity must be at least num_pairs = 10; got 4"),
    (lambda: bl.partial_coverage.gap_bound(-1.0, 0.5), "squared_error must be non-negative; got -1.0"),
    (lambda: provenance.plain({1: 2, "1": 3}), "names that read the same"),
    # Shapes that do not fit each other: symbols mean one number in all arguments of a call.
    (
        lambda: bl.coverage.trace_ratio(np.eye(2), np.eye(3)),
        r"covered must be \(2, 2\), .* that of covering; got \(3, 3\)",
    ),
    (lambda: bl.coverage.trace_ratio(np.ones((2, 3)), np.eye(2)), r"covering must be \(n, n\); got \(2, 3\)"),
    (lambda: bl.coverage.trace_ratio(1.0, np.eye(2)), r"covering must be \(n, n\); got \(\)"),
    (lambda: bl.losses.ipo(np.ones(3), np.ones(2)), r"target must broadcast with margin, of size 3 .*; got \(2,\)"),
    (
        lambda: bl.didactic.problem.law_of_best(np.ones(3), HALF[0], 2),
        r"log_probs must be \(3,\), where A is that of reward",
    ),
    (
        lambda: bl.didactic.kl_descent.speed_ratios(np.ones((2, 3)), math.inf),
        r"log_target must be \(2, 3\), .*; got \(\)",
    ),
    (lambda: bl.policy_gradients.sample(KEY, 0.0, 2), r"log_policy must be \(S, A\); got \(\)"),
    (lambda: bl.didactic.problem.problem(peak=[]), "peak must be a number"),
    (
        lambda: bl.policy_gradients.rloo(CHAIN, HALF, np.full((1, 2), 1e308), np.asarray([[0, 1]])),
        r"values must have sums over 2 draws; got 1e\+308",
    ),
    (
        lambda: theory.function_classes.l2_coverage(CHAIN, np.zeros((1, 1, 2)), [[1e308, 0.0]], HALF, HALF),
        r"rewards and truth must be below 1\.7e\+153; got 1e\+308",
    ),
    (lambda: CHAIN.around([[0.0]]), r"log_reference must be \(1, 2\); got \(1, 1\)"),
    (lambda: bl.instances.chain(beta=1e300), r"beta must be between 1\.5e-154 and 1\.3e\+154; got 1e\+300"),
    (lambda: bl.estimators.fit(CHAIN, np.ones((1, 2, 2)), ridge=1e308), r"ridge must be between 1\.5e-154 and 1\.3e"),
    (lambda: bl.algorithms.on_policy_dpo(jnp.asarray(2**53 + 1)), "num_pairs must be a number that float64 holds exac"),
    (
        lambda: bl.preferences.draw_counts(KEY, LAW, jnp.asarray(2**53 + 1)),
        "num_pairs must be a number that float64 holds exactly",
    ),
    (lambda: CHAIN.log_policy([1.0, 2.0]), r"params must be \(1,\); got \(2,\)"),
    (lambda: CHAIN.log_policy("x"), "params must be an array of numbers; got str"),
    (lambda: CHAIN.log_policy([math.nan]), r"params must be finite; got nan at index \(0,\)"),
    (
        lambda: bl.gradient_limits.equal_gap_reward(CHAIN, [[1e308, 0.0]], [[True, False]], 0.25, 0.75),
        "reward must have sums over actions that float64 holds",
    ),
    (
        lambda: bl.gradient_limits.rlhf_limit(CHAIN, [[1.0, 0.0]], [[True, False]], 1e308),
        "imputed must have sums over actions that float64 holds",
    ),
    (
        lambda: bl.gradient_limits.equal_gap_reward(CHAIN, [[1e306, 0.0]], [[True, False]], 0.25, 0.75),
        "reward, first and second must make policies that float64 tells apart; got none in context 0",
    ),
    (
        lambda: bl.didactic.reward_model.fit(np.ones((2, 2)), np.eye(2), 1e308),
        r"ridge must be between 1\.5e-154 and 1\.3e\+154; got 1e\+308",
    ),
    (
        lambda: bl.didactic.population.population(
            "best_of_n", PEAK, PEAK.log_reference, settings.DEFAULTS, num_samples=[]
        ),
        "num_samples must be a number",
    ),
    (
        lambda: bl.planner.lower_bound(CHAIN, np.eye(1), np.full((1, 2, 2), 1e308)),
        "pairs must have a finite sum; got an overflow",
    ),
    (
        lambda: bl.planner.assess(CHAIN, 10.0, LAW[None], 1e-300, 1.0, np.asarray([False])),
        r"kl must be between 1\.5e-154 and 1\.3e\+154; got 1e-300",
    ),
    (
        lambda: bl.planner.assess(CHAIN, 1e-300, LAW[None], 0.1, 1.0, np.asarray([False])),
        "num_labels must be 0 or at least 1; got 1e-300",
    ),
    (lambda: bl.didactic.problem.problem(peak=np.zeros((2, 2))), "peak must be a number"),
    (lambda: bl.gradient_limits.hypo_stationarity(CHAIN, [[1e308, 0.0]], [[True, True]]), "log_policy must hold log-"),
    (lambda: chi_po.normaliser(CHAIN, np.zeros((1, 2)), 5e-324), r"temperature must be at least 2\.2e-308; got 5e-324"),
    (
        lambda: bl.theory.mode_seeking.critical_temperature([1.0, 0.0], [-1e308, 0.0]),
        "log_reference must give the largest reward a mass that float64 holds",
    ),
    (
        lambda: bl.preferences.from_table(np.full((3, 4, 3), 0.5)),
        r"win_probs must be \(num_contexts, num_actions, num_actions\); got \(3, 4, 3\)",
    ),
    (lambda: bl.instances.tabular(np.zeros((0, 4))), r"reward must not be empty; got \(0, 4\)"),
    (
        lambda: bl.theory.mode_seeking.members(np.zeros((0, 2)), np.zeros(2)),
        r"features must not be empty; got \(0, 2\)",
    ),
    (lambda: bl.coverage.leverage(CHAIN, [[-1.0]]), "second_moment must have no negative eigenvalue"),
    (lambda: bl.coverage.trace_ratio(np.diag([1, 1e-12]), np.diag([1, -1e-6])), "covered must have no negative eigenv"),
    (lambda: bl.coverage.trace_ratio(np.eye(2), -1e-6 * np.eye(2)), "covered must have no negative eigenvalue"),
    (lambda: bl.coverage.trace_ratio(np.eye(2), [[0.0, 1e-7], [1e-7, 0.0]]), "covered must have no negative eigenval"),
    (lambda: bl.coverage.trace_ratio([[1.0, 0.5], [0.0, 1.0]], np.eye(2)), "covering must be symmetric"),
    (lambda: bl.coverage.trace_ratio([[1.0, 2.0], [2.0, 1.0]], np.eye(2)), "covering must have no negative eigenvalue"),
    (
        lambda: theory.distillation.population_solution(CHAIN, np.ones((1, 2)), -LAW, [0.0]),
        "pair_law must be non-negative",
    ),
    (
        lambda: theory.distillation.population_solution(CHAIN, [[1e308, 0.0]], LAW, [0.0]),
        "teacher must differ from the reward by less than what float64 can square",
    ),
    (lambda: bl.theory.recursion(CHAIN, 1.0, np.zeros(0), 2), r"num_pairs must be \(\); got \(0,\)"),
    (
        lambda: theory.distillation.population_recursion(CHAIN, [[60.0, 0.0]], 3, damping=1e308),
        r"damping must be at most 1; got 1e\+308",
    ),
    (
        lambda: bl.gradient_limits.dpo_flow_limit(CHAIN, [[1.7e308, 1.7e308]], [[True, True]]),
        "reward must have sums over actions that float64 holds",
    ),
    (
        lambda: bl.didactic.kl_descent.speed_ratios(np.zeros((1, 2)), [[1e308, 0.0]]),
        "log_target must hold log-probabilities that sum to 1",
    ),
    (
        lambda: bl.didactic.kl_descent.speed_ratios(np.zeros((2, 3)), np.full((2, 3), -math.log(3))),
        "logits and log_target must be apart in the first two actions; got no change in row 0",
    ),
    (
        lambda: bl.theory.mode_seeking.fit([0.0, 1e308], [[0.0], [1.0]], "reverse", [[0.0]]),
        "log_target, features and starts must be of a size that float64 can square",
    ),
    (lambda: bl.theory.mode_seeking.members(np.ones((3, 2)), 1.0), r"params must be \(\.\.\., 2\), .*; got \(\)"),
    (
        lambda: bl.didactic.problem.expected_reward(PEAK, HALF),
        r"log_policy must be \(\.\.\., 100\), as problem is; got",
    ),
    # nan, and infinities where they make it, in whatever array.
    (lambda: bl.losses.dpo(math.nan), "margin must be finite; got nan"),
    (lambda: bl.losses.distillation(np.ones(2), [1.0, math.inf]), r"target must be finite; got inf at index \(1,\)"),
    (lambda: bl.partial_coverage.average(CHAIN, [math.nan]), r"values must hold no nan; got nan at index \(0,\)"),
    (
        lambda: bl.policy_gradients.exact(CHAIN, HALF, [[math.inf, 0.0]]),
        "values must be finite where log_policy has mass",
    ),
    (lambda: bl.didactic.kl_descent.divergence([-1e308, 1e308], HALF[0], False), "logits must have finite differences"),
    (lambda: bl.didactic.problem.kl([math.inf, 0.0], HALF[0]), "log_p must hold logarithms of probabilities; got inf"),
    (
        lambda: bl.gradient_limits.plain_mean(np.ones((1, 2)), np.ones((1, 2, 2))),
        "linked must be True or False; got float64",
    ),
    (
        lambda: bl.policy_gradients.naive(CHAIN, HALF, np.asarray([[0, 2]])),
        "actions must be below num_actions = 2; got 2",
    ),
    (lambda: bl.policy_gradients.naive(CHAIN, HALF, [[0.5]]), "actions must hold whole numbers"),
    # Numbers out of range, told by the door where an annotation says the range.
    (lambda: bl.didactic.problem.target(PEAK, math.nan), "beta must be positive and finite; got nan"),
    (lambda: bl.didactic.problem.target(PEAK, np.ones(3)), r"beta must be a number; got an array of shape \(3,\)"),
    (lambda: theory.distillation.noise_price(CHAIN, LAW, -1.0), "noise must be non-negative; got -1.0"),
    (lambda: theory.guarantees.score_bound(2, 0.1, 1e308), "chance must be a probability above 0; got 1e\\+308"),
    (lambda: theory.guarantees.score_bound(-1, 0.1, 0.1), "rank must be a whole number from 0"),
    (lambda: theory.distillation.damped_share(0.5, 1e308), r"num_rounds must be below 2\^31"),
    (
        lambda: bl.didactic.kl_descent.halfway_steps(np.zeros((1, 2)), np.log([[0.6, 0.4]]), 0.1, 1e308),
        r"max_steps must be below 2\^31",
    ),
    (
        lambda: bl.didactic.kl_descent.reverse_wins(10.5, 3, 0),
        "num_draws must be a whole number of at least 1; got 10.5",
    ),
    (lambda: bl.didactic.kl_descent.reverse_wins(10, 1, 0), "num_bins must be at least 2; got 1"),
    (lambda: bl.didactic.kl_descent.reverse_wins(10, [[1.0], [1.0, 2.0]], 0), "num_bins must be a number; got"),
    (lambda: bl.didactic.problem.problem(num_actions=1e308), "num_actions must make tables of at most"),
    (lambda: bl.scenarios.loser_heavy_reference(num_winners=1e308), "num_winners must make tables of at most"),
    (lambda: train(num_states=1e308), "num_states .* must make tables of at most"),
    (lambda: train(num_eval=1e308, policy=policies.mlp()), "num_eval must make tables of at most"),
    (
        lambda: bl.planner.greedy_pairs(CHAIN, np.eye(1), np.zeros(0)),
        r"num_pairs must be a number; got an array of shape \(0,\)",
    ),
    (lambda: bl.didactic.problem.target(PEAK, 5e-324), r"beta must be at least 2\.2e-308; got 5e-324"),
    (lambda: chi_po.normaliser(CHAIN, [[1e308, 0.0]], 0.5), "reward / temperature must be finite numbers"),
    (
        lambda: theory.distillation.population_recursion(CHAIN, np.ones((1, 2)), 2, damping=math.nan),
        "damping must be positive and finite; got nan",
    ),
    (lambda: theory.distillation.weighted_error(CHAIN, [], LAW), r"teacher must be \(1, 2\); got \(0,\)"),
    (
        lambda: descend(KEY, CHAIN, LAW, jnp.zeros(1), record_at=jnp.arange(2), step_size=np.ones(2)),
        r"step_size must be a number; got an array of shape \(2,\)",
    ),
    (
        lambda: theory.mode_seeking.log_mass_change(HALF[0], HALF[0], "forward", group=[True, False], step=math.inf),
        "step must be finite; got inf",
    ),
    (
        lambda: theory.distillation.weighted_error(CHAIN, [[1e308, 0.0]], LAW),
        "teacher must differ from the reward by less",
    ),
    # Tuples and dicts.
    (lambda: bl.metrics.measure(CHAIN, HALF, 3), "names must be a tuple; got 3"),
    (lambda: bl.metrics.measure(CHAIN, HALF, (3,)), r"names\[0\] must be text; got 3"),
    (lambda: bl.preferences.wins_from_comparisons([0], [0], [1], shape=3), "shape must be a tuple; got 3"),
    (lambda: bl.preferences.wins_from_comparisons([0], [0], [1], shape=(1, 2, 3)), "shape must be a tuple of 2; got 3"),
    (lambda: training.failures(3), "results must be a dict; got 3"),
    (lambda: training.failures({}), "results must hold status"),
    # Traced arguments where values are needed.
    *(
        (lambda call=call, name=name: jax.jit(call)(np.ones((1, 2), bool)), f"{name} must have values; got traced ones")
        for call, name in (
            (lambda seen: bl.scenarios.labelled(CHAIN, seen), "seen"),
            (lambda seen: bl.gradient_limits.equal_gap_reward(CHAIN, np.ones((1, 2)), seen, 0.1, 0.2), "seen"),
            (lambda seen: theory.mode_seeking.members(HALF.T, seen[:, :1].astype(float)), "params"),
        )
    ),
    # An instance's own argument, under its own name; numbers that overflow on their way.
    (lambda: bl.instances.chain(target=math.inf), "target must be finite; got inf"),
    (lambda: bl.instances.staircase(step=1e308), "step must keep beta phi step finite; got beta = 1.0 and an overflow"),
    (
        lambda: bl.scenarios.hard_missing(missing_reward=1e308, beta=1e-9),
        "missing_reward / beta must be finite numbers",
    ),
    (lambda: bl.scenarios.rare_good(beta=1e308), r"beta must be between 1\.5e-154 and 1\.3e\+154; got 1e\+308"),
    (
        lambda: bl.Environment.create([[[0.0], [1.0]]], target_params=[1.0], log_base=[[0.0, -1e300]], beta=1e100),
        r"beta must keep beta \(log_reference - log_base\) a finite number",
    ),
    (
        lambda: bl.instances.random_features(1, 2, 4),
        r"num_features must be at most num_contexts \* \(num_actions - 1\)",
    ),
    (
        lambda: bl.Environment.create([[[-1e308], [1e308]]], target_params=[0.0]),
        "features must have finite differences within a context",
    ),
]


@pytest.mark.parametrize(
    ("call", "message"), BAD, ids=[f"{place} {message[:30]}" for place, (_, message) in enumerate(BAD)]
)
def test_a_bad_argument_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_what_looks_odd_and_is_right_is_accepted():
    np.testing.assert_allclose(bl.preferences.outcome_law(CHAIN, np.asarray(LAW).tolist()).sum(), 1.0)
    assert bl.metrics.kl_target(CHAIN, np.asarray(HALF).tolist()) == bl.metrics.kl_target(CHAIN, HALF)
    assert bl.instances.random_features(2.0, 2.0, 2.0).num_features == 2
    np.testing.assert_array_equal(bl.preferences.wins_from_comparisons([0], [0], [1], shape=(1.0, 2.0))[0, 0], [0, 1])
    assert theory.predicted_kl(CHAIN, jnp.zeros((1, 2, 2)).at[0, 0, 0].set(1.0), 1e308) == np.inf
    assert theory.batch_threshold(ONE_ACTION, 1000.0) == 0.0
    assert theory.batch_threshold(CHAIN, 1e308) == theory.batch_threshold(CHAIN, math.inf) == math.inf
    assert theory.distillation.damped_share(2.0, 2**31 - 1) == 4.0 * (2**31 - 1)
    assert theory.distillation.damped_share(1e308, 3) == math.inf
    assert theory.offline_lower_bound(CHAIN, 20, 1e-300) == 0.0
    assert CHAIN.log_policy([1.0]).shape == (1, 2)
    assert provenance.config_hash({1: 2}) != provenance.config_hash({"1": 2})
    assert theory.predicted_kl(CHAIN, jnp.zeros((1, 2, 2)).at[0, 0, 0].set(1.0), math.inf) == math.inf
    low, high = theory.kl_bounds(bl.instances.random_features(3, 4, 3), [1e308, -1e308, 1e308])
    assert (low, high) == (0.0, math.inf)
    for capacity in (None, "auto"):  # keys of either kind make the same draws
        counts = [bl.preferences.draw_counts(key, LAW, 9, capacity=capacity) for key in (KEY, jax.random.PRNGKey(0))]
        np.testing.assert_array_equal(*counts)
    # Powers of two change no digit of what the class misses.
    table = np.asarray([[1.0, 2.0, 4.0]])
    small, large = (
        bl.Environment.create(np.arange(3.0).reshape(1, 3, 1), reward=np.ldexp(table, power)) for power in (0, 1020)
    )
    assert large.residual == np.ldexp(small.residual, 1020)
    assert bl.instances.tabular(np.full((3, 4), 1e308), np.log([[0.1, 0.2, 0.3, 0.4]] * 3)).residual == 0.0
    # Of a teacher without error, and of one so wrong that a round leaves a single action.
    bias = theory.distillation.population_bias(CHAIN, CHAIN.reward, 2)
    assert bias["error"].tolist() == bias["share"].tolist() == [0.0, 0.0]
    bias = theory.distillation.population_bias(CHAIN, -5000.0 * CHAIN.reward, 2)
    assert (bias["coverage"][1], bias["error"][1], bias["share"][1]) == (math.inf, 0.0, 0.0)
    np.testing.assert_array_equal(theory.recursion(ONE_ACTION, math.inf, 100.0, 2), 0.0)
    low, high = theory.kl_bounds(CHAIN, jnp.asarray([1e200]))
    assert (np.isfinite(low), float(high)) == (True, np.inf)
    assert bl.one_sided.critical_penalty(0.5, 1e6) == math.inf
    assert bl.one_sided.critical_penalty(0.5, -1e6) == 0.0
    assert bl.one_sided.critical_penalty(0.5, 300.0) < math.inf
    assert provenance.config_hash({"a": math.inf}) != provenance.config_hash({"a": "inf"})
    assert tables.Table({"n": np.array([2**62], np.uint64)})["n"][0] == 2**62
    assert theory.distillation.noise_floor(CHAIN, 0 * LAW, 0.0) == np.inf
    assert bl.losses.ipo([True, False], 1).tolist() == [0.0, 1.0]
    starts, log_targets = np.asarray([[0.0, 0.5, 0.0]], np.float32), np.log(np.asarray([[0.5, 0.25, 0.25]]))
    halfway = bl.didactic.kl_descent.halfway_steps
    np.testing.assert_array_equal(
        halfway(starts, log_targets, 0.1, 9), halfway(starts.astype(float), log_targets, 0.1, 9)
    )
    for policy in (policies.tabular(), policies.mlp(4, 3, 2)):
        assert pickle.loads(pickle.dumps(policy)).name == policy.name


@door.door
def example(
    env: bl.Environment,
    table: door.Table,
    scale: float | jax.Array = 1.0,
    *rest: float,
    word: Literal["a", "b"] = "a",
    plain: Annotated[str, "a note"] = "",
    maybe: door.Params | None = None,
) -> jax.Array:
    return scale * table + sum(rest)


def test_the_door_keeps_signature_name_and_transformations():
    assert list(inspect.signature(example).parameters)[:2] == ["env", "table"]
    assert example.__name__ == "example"
    values = jax.jit(jax.vmap(lambda scale: example(CHAIN, jnp.ones((1, 2)), scale, 2.0)))(jnp.arange(3.0))
    np.testing.assert_array_equal(values[:, 0, 0], [2.0, 3.0, 4.0])
    np.testing.assert_array_equal(jax.grad(lambda s: example(CHAIN, jnp.ones((1, 2)), s).sum())(1.0), 2.0)
    with pytest.raises(ValueError, match=r"rest must be a number; got 'x'"):
        example(CHAIN, np.ones((1, 2)), 1.0, "x")
    with pytest.raises(TypeError, match=r"plain must be text; got 3"):
        example(CHAIN, np.ones((1, 2)), plain=3)
    with pytest.raises(ValueError, match=r"maybe must be \(1,\); got \(2,\)"):
        example(CHAIN, np.ones((1, 2)), maybe=np.ones(2))


def public():
    """Every public function of arrays, environments and numbers, by its full name."""
    modules = [bl.algorithms, bl.coverage, bl.designs, bl.estimators, bl.instances, bl.losses, bl.metrics, bl.planner]
    modules += [bl.policies, bl.preferences, bl.samplers, bl.testing, theory, bl, bl.scenarios, bl.policy_gradients]
    modules += [getattr(theory, name) for name in dir(theory)] + [
        getattr(bl.didactic, name) for name in dir(bl.didactic)
    ]
    for module in modules:
        for name in dir(module) if isinstance(module, types.ModuleType) else ():
            found = getattr(module, name)
            if inspect.isfunction(found) and found.__module__.startswith("banditlab"):
                yield f"{module.__name__}.{name}", found


@pytest.mark.parametrize("function", dict(public()).values(), ids=dict(public()))
def test_every_public_function_has_the_door(function):
    assert function.__code__.co_name == "checked" or not inspect.signature(function).parameters


@pytest.mark.parametrize("value", ["800", b"800", 1 + 0j, [1.0], None, 2**53 + 1])
def test_the_one_reader_of_numbers_refuses_what_is_none_without_the_door(value):
    for read in (validation.number, validation.positive, validation.whole, validation.index):
        with pytest.raises(ValueError, match="^size must be a number"):
            read("size", value)
