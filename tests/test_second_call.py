"""Every public function of arrays compiles nothing on its second eager call with equal shapes and other numbers."""

import inspect
import types

import jax
import jax.numpy as jnp
import pytest

import banditlab as bl

COMPILED = "/jax/core/compile/backend_compile_duration"
MODULES = ("coverage", "designs", "estimators", "losses", "metrics", "policies", "preferences", "samplers", "theory")
ROUNDS = {
    "on_policy_dpo": bl.algorithms.on_policy_dpo(20),
    "hypo": bl.algorithms.hypo(20, 0.1, num_steps=5),
    "rlhf": bl.algorithms.rlhf(20, policy="rloo", num_steps=5),
    "chi_po": bl.algorithms.chi_po(20),
    "reward_distillation": bl.algorithms.reward_distillation(60, noise=0.5, damping=0.7, pooled=True),
}


def given(seed):
    """An argument of every name that public functions take, of the same shapes for every seed."""
    env = bl.instances.random_features(2, 4, 3, seed=seed, beta=1.0 + 0.1 * seed)
    law = bl.samplers.initial(env, env.log_initial)
    params = env.start_params + 0.1 * (seed + 1)
    information = bl.theory.fisher_information(env, law)
    margin = jnp.linspace(-1.0, 1.0 + seed, 5)
    return {
        "env": env,
        "log_policy": env.log_policy(params),
        "log_p": env.log_policy(params),
        "log_q": env.log_initial,
        "log_first": env.log_policy(params),
        "log_second": env.log_initial,
        "covering": information,
        "covered": bl.coverage.target_covariance(env),
        "fraction": 0.2 + 0.1 * seed,
        "loss": bl.losses.dpo,
        "wins": 20.0 * bl.preferences.outcome_law(env, law),
        "win_probs": jax.nn.sigmoid(env.reward[:, :, None] - env.reward[:, None, :]),
        "design": DESIGNS[seed],
        "pair_law": law,
        "law": law,
        "num_pairs": 100.0 + seed,
        "kl": 0.01 + 0.01 * seed,
        "params": params,
        "start": 2.0 + 0.1 * seed,
        "num_rounds": 3,
        "radius": 0.5 + 0.1 * seed,
        "information": information,
        "score_covariance": information,
        "second_moment": bl.theory.second_moment(env, law),
        "key": jax.random.key(seed),
        "outcome_law": bl.preferences.outcome_law(env, law),
        "margin": margin,
        "target": 0.5 * margin,
        "names": ("gap", "kl_target"),
        "rate": 0.1 + 0.1 * seed,
        "scale": 0.5 + 0.1 * seed,
    }


DESIGNS = [
    bl.designs.triple(bl.instances.random_features(2, 4, 3, seed=seed, beta=1.0 + 0.1 * seed)) for seed in (0, 1)
]
GIVEN = [given(seed) for seed in (0, 1)]


def required(function):
    """Names of the positional parameters without a default."""
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind in kinds]


def functions():
    """(module, name) of the public functions whose arguments are all known by name."""
    for module in MODULES:
        for name in getattr(bl, module).__all__:
            found = getattr(getattr(bl, module), name)
            if isinstance(found, types.FunctionType) or hasattr(found, "lower"):
                yield module, name, required(found)


KNOWN = [(module, name) for module, name, names in functions() if set(names) <= set(GIVEN[0])]
# Functions of other things than arrays: labellers that are built, functions handed on, host arrays.
OTHERS = {"as_partial", "pair_derivatives", "prepare", "temperature", "wins_from_comparisons"}


@pytest.fixture
def compilations():
    found = []

    def listen(event, duration, **_):
        if event == COMPILED:
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


def test_every_public_function_is_called_here_or_named():
    left = {name for module, name, names in functions() if (module, name) not in KNOWN}
    assert left <= OTHERS, left - OTHERS


@pytest.mark.parametrize(("module", "name"), KNOWN, ids=str)
def test_a_second_call_compiles_nothing(module, name, compilations):
    function = getattr(getattr(bl, module), name)
    first, second = ([arguments[one] for one in required(function)] for arguments in GIVEN)
    jax.block_until_ready(function(*first))
    before = len(compilations)
    jax.block_until_ready(function(*second))
    assert len(compilations) == before


@pytest.mark.parametrize("name", ROUNDS)
def test_a_second_eager_round_compiles_nothing(name, compilations):
    env, other = (bl.instances.random_features(2, 4, 3, seed=seed) for seed in (0, 1))
    algorithm = ROUNDS[name]
    jax.block_until_ready(algorithm.step(jax.random.key(0), algorithm.init(jax.random.key(1), env), env))
    before = len(compilations)
    jax.block_until_ready(algorithm.step(jax.random.key(2), algorithm.init(jax.random.key(3), other), other))
    assert len(compilations) == before


DIDACTIC = {
    "frontier": lambda problem, seed: bl.didactic.problem.frontier(problem, 0.1 + 0.1 * seed),
    "best_of_n": lambda problem, seed: bl.didactic.problem.best_of_n(problem, 4 + seed),
    "target": lambda problem, seed: bl.didactic.problem.target(problem, 0.5 + seed),
}


@pytest.mark.parametrize("name", DIDACTIC)
def test_a_second_call_on_a_didactic_bandit_compiles_nothing(name, compilations):
    problems = [bl.didactic.problem.problem(70.0 + seed, 10.0) for seed in (0, 1, 2)]
    DIDACTIC[name](problems[0], 0)
    before = len(compilations)
    for seed in (1, 2):
        jax.block_until_ready(DIDACTIC[name](problems[seed], seed))
    assert len(compilations) == before
