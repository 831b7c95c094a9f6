"""Statements of docs/theory.md that no other test or check holds, on random instances."""

import numpy as np
import pytest
from random_environments import random_environment, random_policy

import banditlab as bl
from banditlab import policies
from banditlab.exact import chain

SEEDS = range(6)
# Both sides are sums of at most a thousand terms; the matrices have conditions below 1e4.
ROUNDING = 1e-9


def differences(env):
    """(S, A * A, d) every z of the class, context by context."""
    phi = np.asarray(env.features)
    return (phi[:, :, None] - phi[:, None, :]).reshape(phi.shape[0], -1, phi.shape[2])


def squares(vectors, matrix):
    """v' matrix^{-1} v of vectors (..., d)."""
    return np.einsum("...i,ij,...j->...", vectors, np.linalg.inv(matrix), vectors)


def node_information(env, weights):
    """(d, d) sum_x nu(x) Cov_nu phi, and phi less the conditional means; nodes (S, A) have mass in every context."""
    phi = np.asarray(env.features)
    means = np.einsum("xa,xad->xd", weights / weights.sum(1, keepdims=True), phi)
    centred = phi - means[:, None]
    return np.einsum("xa,xai,xaj->ij", weights, centred, centred), centred


def pair_information(env, weights):
    """(d, d) M of pairs (S, A * A)."""
    z = differences(env)
    return np.einsum("xp,xpi,xpj->ij", weights, z, z)


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_9_operator_coverage_is_at_most_the_density_ratio(seed):
    env = random_environment(seed)
    log_policy = random_policy(seed, (3, 4))
    assert float(bl.coverage.operator(env, log_policy)) <= float(bl.coverage.density_ratio(env, log_policy))
    assert float(bl.coverage.operator(env, env.log_target)) == pytest.approx(1)


@pytest.mark.parametrize("mass", [1e-1, 1e-3, 1e-6])
def test_proposition_10_a_ball_saves_a_logarithm_at_most(mass):
    env = bl.instances.tabular(np.zeros((1, 2)), np.log([[mass, 1 - mass]]))
    whole = float(bl.coverage.kl_ball(env, np.inf))
    assert whole == pytest.approx(1 / mass)
    for share in (0.01, 0.3, 0.9):
        ratio = float(bl.coverage.kl_ball(env, share * np.log(1 / mass)))
        assert share * whole <= ratio <= whole


@pytest.mark.parametrize("rho", [1.0, 0.25])
def test_proposition_10_the_mass_is_the_budget_over_the_logarithm(rho):
    budget, gaps = 0.7 * rho, []
    for power in (10, 30, 100, 300):
        needed = power * np.log(10)
        log_mass = np.array([-needed, np.log1p(-np.exp(-needed))])
        other = np.log([0.5, 0.5])
        env = bl.Environment.create(
            np.eye(4).reshape(2, 2, 4),
            context_probs=[rho, 1 - rho],
            log_reference=np.stack([log_mass, other]),
            log_base=np.zeros((2, 2)),
            reward=np.zeros((2, 2)),
            unidentified="allow",
        )
        q = float(bl.coverage.kl_ball(env, budget)) * np.exp(-needed)
        low, high = 0.7 / needed, 0.7 / (needed - np.log(1 / q) - 1)
        assert low <= q <= high
        gaps.append(q / low - 1)
    assert (np.diff(gaps) < 0).all()


@pytest.mark.parametrize("center", [0.0, 2.0])
def test_proposition_17_a_ridge_moves_the_estimate_by_its_first_order(center):
    env = random_environment(1)
    law = bl.samplers.initial(env, env.log_initial)
    target, centre = np.asarray(env.target_params), np.full(3, center)
    information = np.asarray(bl.theory.fisher_information(env, law))
    outcomes = np.asarray(bl.preferences.outcome_law(env, law))
    errors = []
    for n in (1e5, 1e6):
        found = np.asarray(bl.estimators.fit(env, n * outcomes, ridge=1.0, center=centre).params)
        predicted = np.linalg.solve(information, centre - target) / n
        errors.append(np.linalg.norm(found - target - predicted) / np.linalg.norm(predicted))
    # The remainder is relative of order 1/n: ten times the labels, a tenth of it.
    assert errors[1] < 1e-2
    assert errors[1] == pytest.approx(errors[0] / 10, rel=0.05)


@pytest.mark.parametrize("name", ["triple", "joint", "conditional_pairs", "conditional_nodes"])
def test_proposition_18_the_gap_bounds_the_determinant(name):
    env, rng = random_environment(2), np.random.default_rng(2)
    rho, rank = np.asarray(env.context_probs), 3
    best = np.asarray(getattr(bl.designs, name)(env).weights)
    for _ in range(50):
        if name in ("triple", "conditional_pairs"):
            weights = rng.dirichlet(np.ones(16), 3)
            optimum = pair_information(env, best.reshape(3, 16))
        else:
            weights = rng.dirichlet(np.ones(4), 3)
            optimum, _ = node_information(env, best)
        free = name in ("triple", "joint")
        weights = weights * (rng.dirichlet(np.ones(3)) if free else rho)[:, None]
        if name in ("triple", "conditional_pairs"):
            information = pair_information(env, weights)
            leverages = squares(differences(env), information).max(axis=1)
        else:
            information, centred = node_information(env, weights)
            leverages = squares(centred, information).max(axis=1)
        gap = (leverages.max() if free else rho @ leverages) / rank - 1
        missed = np.linalg.slogdet(optimum)[1] - np.linalg.slogdet(information)[1]
        # The optimum's own gap is 1e-9.
        assert -1e-8 < missed <= rank * np.log1p(gap) + 1e-8 <= rank * gap + 1e-8


@pytest.mark.parametrize("per_context", [False, True])
def test_proposition_19_multiplicative_updates_rise_for_pairs_and_can_oscillate_for_nodes(per_context):
    env = random_environment(3)
    rho, z = np.asarray(env.context_probs), differences(env)
    weights = np.random.default_rng(3).dirichlet(np.ones(16), 3) * rho[:, None]
    volumes = []
    for _ in range(40):
        information = pair_information(env, weights)
        volumes.append(np.linalg.slogdet(information)[1])
        weights = weights * squares(z, information)
        weights *= (rho / weights.sum(axis=1))[:, None] if per_context else 1 / weights.sum()
    assert (np.diff(volumes) > -1e-12).all()
    assert volumes[-1] > volumes[0] + 0.1
    two_arms = bl.Environment.create(np.array([[[0.0], [1.0]]]), target_params=[0.0])
    nodes = np.array([[0.3, 0.7]])
    for wanted in (0.7, 0.3, 0.7):
        information, centred = node_information(two_arms, nodes)
        nodes = nodes * squares(centred, information)
        assert nodes.sum() == pytest.approx(1)
        assert nodes[0, 0] == pytest.approx(wanted)


@pytest.mark.parametrize("name", ["triple", "joint"])
@pytest.mark.parametrize("seed", [0, 1])
def test_proposition_8_each_inequality_of_its_proof(name, seed):
    env, rank = random_environment(seed), 3
    beta, kappa = float(env.beta), float(bl.theory.smallest_label_variance(env))
    target = np.asarray(env.target_params)
    law = getattr(bl.designs, name)(env).pair_law
    moment, information = bl.theory.second_moment(env, law), bl.theory.fisher_information(env, law)
    assert np.linalg.eigvalsh(np.asarray(information) - beta**2 * kappa * np.asarray(moment)).min() >= -ROUNDING
    # rad^2, over every difference that a label may show.
    assert beta**2 * squares(differences(env), information).max() <= 2 * rank / kappa * (1 + 1e-8)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        params = target + rng.normal(size=3) * 10.0 ** rng.uniform(-2, 0)
        osc, shift = float(bl.theory.oscillation(env, params)), params - target
        assert osc**2 <= 2 * rank * shift @ np.asarray(moment) @ shift * (1 + 1e-8)
        log_policy = env.log_policy(params)
        assert float(bl.coverage.operator(env, log_policy)) <= np.exp(osc) * (1 + ROUNDING)
        price = float(bl.theory.label_price(env, policies.independent_pairs(env, log_policy, log_policy)))
        assert price <= np.exp(osc) * rank / (2 * beta**2 * kappa) * (1 + ROUNDING)


def test_proposition_33_some_random_bandits_are_beyond_half_the_bound():
    rng, ratios = np.random.default_rng(0), []
    for actions in (2, 3, 4, 5):
        reference, policy = rng.dirichlet(np.ones(actions), (2, 5000))
        reward = rng.normal(size=(5000, actions)) * rng.choice([1.0, 3.0, 10.0], (5000, 1))
        target = reference * np.exp(reward - reward.max(axis=1, keepdims=True))
        target /= target.sum(axis=1, keepdims=True)
        error = reward - np.log(policy / reference)
        error -= (reference * error).sum(axis=1, keepdims=True)
        least = np.maximum(target, policy) / reference
        bound = np.sqrt(least.max(axis=1) * 2 * (reference * error**2).sum(axis=1))
        ratios.append((policy * np.log(policy / target)).sum(axis=1) / bound)
    found = np.concatenate(ratios)
    assert 0.75 < found.max() < 0.9
    # 20,000 bandits in all: a share of 8% is known to 0.2%.
    assert 0.04 < np.mean(found > 0.5) < 0.13


@pytest.mark.parametrize("seed", SEEDS)
def test_proposition_51_the_price_lies_between_two_multiples_of_the_trace(seed):
    env = random_environment(seed)
    beta, kappa = float(env.beta), float(bl.theory.smallest_label_variance(env))
    log_policy = random_policy(seed, (3, 4))
    price = float(bl.theory.label_price(env, policies.independent_pairs(env, log_policy, log_policy)))
    trace = float(bl.coverage.trace(env, log_policy))
    assert 2 / beta**2 * trace <= price <= trace / (2 * beta**2 * kappa)
    on_target = policies.independent_pairs(env, env.log_target, env.log_target)
    assert float(bl.theory.label_price(env, on_target)) <= float(bl.theory.statistical_radius(env)) * (1 + ROUNDING)


@pytest.mark.parametrize("max_norm", [10.0, 12.0])
def test_proposition_53_one_informative_pair_leads_from_cap_to_cap_and_two_off_them(max_norm):
    n, target, beta = 10, 0.5, 1.3
    law = chain.on_policy_law(n, 1, target=target, beta=beta, max_norm=max_norm, initial=max_norm)
    rate, win = 2 * n * np.exp(-max_norm) / (1 + np.exp(-max_norm)) ** 2, 1 / (1 + np.exp(-beta * target))
    other, off = (law.probs[0][place].sum() for place in (law.params == -max_norm, abs(law.params) < max_norm))
    # What is left out has another informative pair: relative of the order of the rate, 9e-4 at most.
    assert other == pytest.approx(rate * (1 - win), rel=2 * rate)
    assert off == pytest.approx(rate**2 * (1 - 1 / n) * win * (1 - win), rel=2 * rate)
