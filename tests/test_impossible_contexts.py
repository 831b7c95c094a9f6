"""A context of probability zero, and an action outside the class, count for nothing, in every number of the core."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_environments import random_pair_law, random_policy

import banditlab as bl
from banditlab import coverage, designs, metrics, theory
from banditlab.numerics import tolerances
from banditlab.theory import distillation, function_classes, guarantees

S, A, D = 3, 4, 3
RNG = np.random.default_rng(17)
FEATURES = RNG.normal(size=(S, A, D))
TARGET, START = RNG.normal(size=D), RNG.normal(size=D)
REFERENCE, PROBS = random_policy(1, (S, A)), RNG.dirichlet(np.ones(S))
BASE = REFERENCE - FEATURES @ np.random.default_rng(18).normal(
    size=D
)  # the free softmax holds pi_ref, at other parameters than zero
LAW, POLICY = random_pair_law(2, (S, A)), random_policy(3, (S, A))
UNLIKELY = 3  # an action that the extreme context's policy plays, where pi* does not
PARAMS = RNG.normal(size=D)
# The reward of the likely action is the largest by far: pi* plays it, and the policies below another one.
EXTREME = 30.0 * RNG.normal(size=(1, A, D))
EXTREME[0, 0] += 30.0 * TARGET
KINDS = {
    "linear softmax": {"initial_params": START},
    "free softmax, not uniform": {"initial_params": START, "log_base": BASE},
}


def environment(kind, *, impossible, mass=0.0):
    """The environment, or the same with one more context of probability `mass`, where everything is extreme."""
    options = {"target_params": TARGET, "log_reference": REFERENCE, "context_probs": PROBS, "beta": 0.7} | KINDS[kind]
    features = FEATURES
    if impossible:
        features = np.concatenate([FEATURES, EXTREME])
        options["context_probs"] = np.append((1 - mass) * PROBS, mass)
        options["log_reference"] = extended(REFERENCE)
        if "log_base" in options:
            options["log_base"] = extended(BASE)
    return bl.Environment.create(features, **options)


def extended(table, *, likely=0):
    """(S + 1, A): the last context nearly deterministic."""
    extreme = np.full((1, A), 1e-6)
    extreme[0, likely] = 1 - (A - 1) * 1e-6
    return np.concatenate([table, np.log(extreme)])


def padded(law):
    return jnp.concatenate([jnp.asarray(law), jnp.zeros((1, A, A))])


def teacher(env):
    """(S, A) an error of a teacher, the same in the contexts that both environments have."""
    return jnp.asarray(np.random.default_rng(5).normal(size=(S + 1, A)))[: env.num_contexts]


FUNCTIONS = {
    **{name: lambda env, law, log_policy, name=name: getattr(metrics, name)(env, log_policy) for name in (
        "kl_target", "gap", "kl_reference", "expected_reward", "win_rate",
    )},
    **{name: lambda env, law, log_policy, name=name: getattr(coverage, name)(env, log_policy) for name in (
        "operator", "trace", "density_ratio",
    )},
    "kl_ball": lambda env, law, log_policy: coverage.kl_ball(env, 0.3),
    "global coefficient": lambda env, law, log_policy: coverage.kl_ball(env, np.inf),
    "target_covariance": lambda env, law, log_policy: coverage.target_covariance(env),
    "leverage": lambda env, law, log_policy: theory.leverage(env, law),
    "target_leverage": lambda env, law, log_policy: theory.target_leverage(env),
    "fisher_information": lambda env, law, log_policy: theory.fisher_information(env, law),
    "label_price": lambda env, law, log_policy: theory.label_price(env, law, misspecified="allow"),
    "oscillation": lambda env, law, log_policy: theory.oscillation(env, jnp.asarray(PARAMS)),
    "kl_bounds": lambda env, law, log_policy: jnp.stack(theory.kl_bounds(env, jnp.asarray(PARAMS))),
    "smallest_label_variance": lambda env, law, log_policy: theory.smallest_label_variance(env),
    "statistical_radius": lambda env, law, log_policy: theory.statistical_radius(env),
    "batch_threshold": lambda env, law, log_policy: theory.batch_threshold(env, misspecified="allow"),
    "offline_lower_bound": lambda env, law, log_policy: theory.offline_lower_bound(
        env, 100.0, 1.0, misspecified="allow"
    ),
    "second_moment": lambda env, law, log_policy: theory.second_moment(env, law),
    "predicted_kl": lambda env, law, log_policy: theory.predicted_kl(env, law, 200.0, misspecified="allow"),
    "predicted_kl_pooled": lambda env, law, log_policy: theory.predicted_kl_pooled(
        env, 50.0 * theory.fisher_information(env, law), misspecified="allow"
    ),
    "predicted_kl_weighted": lambda env, law, log_policy: theory.predicted_kl_weighted(
        env, theory.fisher_information(env, law), 2.0 * theory.fisher_information(env, law), misspecified="allow"
    ),
    "labels_needed": lambda env, law, log_policy: theory.labels_needed(env, law, 0.01, misspecified="allow"),
    "recursion": lambda env, law, log_policy: theory.recursion(env, 1.0, 1e6, 3, misspecified="allow"),
    "noise_price": lambda env, law, log_policy: distillation.noise_price(env, law, 1.0, misspecified="allow"),
    "noise_floor": lambda env, law, log_policy: distillation.noise_floor(env, 60.0 * law, 1.0, misspecified="allow"),
    "distillation's predicted_kl": lambda env, law, log_policy: distillation.predicted_kl(
        env, law, 50.0, 0.5, misspecified="allow"
    ),
    "on_policy_floor": lambda env, law, log_policy: distillation.on_policy_floor(env, 1.0, misspecified="allow"),
    "bias_bound": lambda env, law, log_policy: distillation.bias_bound(env, env.reward + teacher(env), log_policy),
    "weighted_error": lambda env, law, log_policy: distillation.weighted_error(env, env.reward + teacher(env), law),
    "feature_covariance": lambda env, law, log_policy: bl.policies.feature_covariance(env, log_policy),
    "kl of two policies": lambda env, law, log_policy: bl.policies.kl(env, log_policy, env.log_initial),
}  # fmt: skip


POLICY_WITH_ONE = jnp.asarray(extended(POLICY, likely=UNLIKELY))
WORST = (
    "density_ratio", "kl_ball", "global coefficient", "target_leverage", "oscillation", "smallest_label_variance",
    "statistical_radius", "batch_threshold",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WORST)
def test_the_context_is_extreme_enough_to_be_seen_in_every_worst_case(name, kind):
    without = jax.jit(FUNCTIONS[name])(environment(kind, impossible=False), jnp.asarray(LAW), jnp.asarray(POLICY))
    env = environment(kind, impossible=True, mass=1e-3)
    found = jax.jit(FUNCTIONS[name])(env, padded(LAW), POLICY_WITH_ONE)
    assert abs(np.log(found / without)) > 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_context_of_probability_zero_counts_for_nothing(name, kind):
    without, with_one = (environment(kind, impossible=impossible) for impossible in (False, True))
    wanted = jax.jit(FUNCTIONS[name])(without, jnp.asarray(LAW), jnp.asarray(POLICY))
    found = jax.jit(FUNCTIONS[name])(with_one, padded(LAW), POLICY_WITH_ONE)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


EAGER = {
    "initial_distance": lambda env, law, log_policy: guarantees.initial_distance(env),
    "success_probability": lambda env, law, log_policy: (  # for a class that holds pi* alone
        guarantees.success_probability(env, 1e9, 3, 2.0) if env.realizable else 0.0
    ),
    "population_solution": lambda env, law, log_policy: distillation.population_solution(
        env, env.reward + teacher(env), law, PARAMS
    ),
    "population_recursion": lambda env, law, log_policy: distillation.population_recursion(
        env, env.reward + teacher(env), 3
    ),
    "population_bias": lambda env, law, log_policy: np.stack(
        list(distillation.population_bias(env, env.reward + teacher(env), 3).values())
    ),
    **{name: lambda env, law, log_policy, name=name: getattr(function_classes, name)(
        env, functions(env), env.reward, *policies_of(name, env, log_policy)
    ) for name in (
        "agreement", "deviation_coverage", "disagreement", "failure_bounds", "l2_coverage", "smallest_disagreement",
        "survivor_law",
    )},
}  # fmt: skip


def functions(env):
    return np.stack([env.reward + teacher(env), env.reward - 2.0 * teacher(env), env.reward])


def policies_of(name, env, log_policy):
    """What a function of classes takes after the truth."""
    more = {"deviation_coverage": [env.log_target], "l2_coverage": [env.log_target], "failure_bounds": [9]}
    if name == "survivor_law":
        return [np.broadcast_to(np.asarray(log_policy), (8, *log_policy.shape)), 5, 3]
    return [log_policy, *more.get(name, [])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EAGER)
def test_nor_in_what_is_called_eagerly(name, kind):
    without, with_one = (environment(kind, impossible=impossible) for impossible in (False, True))
    wanted = EAGER[name](without, jnp.asarray(LAW), jnp.asarray(POLICY))
    found = EAGER[name](with_one, padded(LAW), POLICY_WITH_ONE)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


# Of matrices or numbers alone; and what `operator`, `trace` and the metrics above are read from.
OF_NO_ENVIRONMENT = {"trace_ratio", "relative_to", "damped_share", "score_bound", "kl_factor"}
ELSEWHERE = {"operator_and_trace", "measure"}


@pytest.mark.parametrize("module", [theory, coverage, metrics, distillation, guarantees, function_classes])
def test_every_function_of_the_core_is_here(module):
    names = {name for name in module.__all__ if callable(getattr(module, name))}
    assert names <= set(FUNCTIONS) | set(EAGER) | OF_NO_ENVIRONMENT | ELSEWHERE


@pytest.mark.parametrize("kind", KINDS)
def test_nor_does_it_move_the_residual_or_the_start(kind):
    without, with_one = (environment(kind, impossible=impossible) for impossible in (False, True))
    assert with_one.residual == pytest.approx(float(without.residual), rel=1e-9, abs=1e-12)
    assert with_one.reference_missed == pytest.approx(float(without.reference_missed), rel=1e-9, abs=1e-12)


def test_nor_do_designs_and_samplers_give_it_a_pair():
    env = environment("linear softmax", impossible=True)
    for design in (designs.triple(env), designs.joint(env), designs.conditional_pairs(env)):
        assert design.pair_law[-1].sum() == 0
    for sampler in (bl.samplers.initial, bl.samplers.on_policy, bl.samplers.uniform, bl.samplers.mix_p):
        assert sampler(env, env.log_initial)[-1].sum() == 0


def test_an_action_outside_the_class_has_no_part_in_kappa_nor_in_the_oscillation():
    """Its reward is extreme: sigma' of a pair with it would be the smallest by far."""
    features = np.concatenate([FEATURES, 30.0 * np.ones((S, 1, D))], axis=1)
    reference = np.concatenate([REFERENCE, np.full((S, 1), -np.inf)], axis=1)
    options = {"target_params": TARGET, "context_probs": PROBS, "beta": 0.7}
    inside = bl.Environment.create(FEATURES, log_reference=REFERENCE, **options)
    outside = bl.Environment.create(features, log_reference=reference, **options)
    for function in (theory.smallest_label_variance, theory.statistical_radius, theory.target_leverage):
        np.testing.assert_allclose(function(outside), function(inside), rtol=1e-9)
    np.testing.assert_allclose(theory.oscillation(outside, PARAMS), theory.oscillation(inside, PARAMS), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_the_win_rate_is_against_the_reference_by_loops(kind):
    env = environment(kind, impossible=False)
    reward, reference, policy = np.asarray(env.reward), np.exp(REFERENCE), np.exp(POLICY)
    wanted = sum(
        PROBS[x] * policy[x, i] * reference[x, j] / (1 + np.exp(reward[x, j] - reward[x, i]))
        for x in range(S)
        for i in range(A)
        for j in range(A)
    )
    assert metrics.win_rate(env, POLICY) == pytest.approx(
        wanted, rel=tolerances.at_least(1e-12, jnp.result_type(float))
    )
    assert abs(metrics.win_rate(env, env.log_initial) - 0.5) > 1e-3  # pi_0 is not pi_ref here
