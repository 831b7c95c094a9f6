"""The didactic bandits: exact values, every loss against hand-computed NumPy, populations, whole runs, bad input."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from banditlab.didactic import batches, data_sets, generator, losses, pairs, policies, reward_model, training
from banditlab.didactic import problem as bandit
from banditlab.didactic.settings import Settings, checked
from banditlab.estimators import Status
from banditlab.exact import clamped_losses as floor_gradients
from benchmarks import didactic_reference

THIN, NEAR = bandit.problem(70.0), bandit.problem(20.0)
NUMBERS = Settings(
    learning_rate=0.05, beta=0.4, ipo_target=1.3, temperature=0.3, threshold=0.02, negative_weight=0.7, weight_cap=2.5,
    entropy=0.03, kl_weight=0.2,
)  # fmt: skip


# The bandit


def test_expected_rewards_and_best_of_ten_have_the_known_values():
    for problem, mean, best in ((THIN, 0.0390, 0.3135), (NEAR, 0.3772, 0.9401)):
        assert float(bandit.expected_reward(problem, problem.log_reference)) == pytest.approx(mean, abs=5e-5)
        assert float(bandit.best_of_n(problem, 10)) == pytest.approx(best, abs=5e-5)


def test_the_reference_is_a_law_and_a_histogram_of_draws_approaches_it():
    exact = np.exp(THIN.log_reference)
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    few = bandit.problem(histogram_draws=200, seed=1)
    assert np.isneginf(few.log_reference).any()
    assert np.isfinite(bandit.best_of_n(few, 10))
    many = np.exp(bandit.problem(histogram_draws=10**6, seed=1).log_reference)
    assert (np.abs(many - exact) < 4.5 * np.sqrt(exact / 10**6)).all()


def test_the_law_of_the_best_is_that_of_enumeration_ties_included():
    reward, probs = np.array([0.3, 0.9, 0.9, 0.1]), np.array([0.4, 0.1, 0.2, 0.3])
    law = np.zeros(4)
    for draws in itertools.product(range(4), repeat=3):
        law[draws[np.argmax(reward[list(draws)])]] += probs[list(draws)].prod()
    np.testing.assert_allclose(bandit.law_of_best(jnp.asarray(reward), jnp.log(probs), 3), law, atol=1e-15)


def test_the_frontier_passes_through_the_tilted_policies_and_no_other_policy_is_above():
    reference, reward = np.asarray(THIN.log_reference), np.asarray(THIN.reward)
    tilts = reference + reward / np.array([[2.0], [0.3], [0.05]])
    log_policies = log_softmax(np.vstack([tilts, np.random.default_rng(0).normal(reference, 1, (50, 100))]), axis=1)

    @jax.jit
    def costs(log_policies):
        spent = bandit.kl(log_policies, THIN.log_reference)
        return spent, bandit.frontier(THIN, jnp.concatenate([spent, jnp.array([0.0, 1e3])]))

    spent, bound = (np.asarray(value) for value in costs(log_policies))
    np.testing.assert_allclose(spent, (np.exp(log_policies) * (log_policies - reference)).sum(axis=1), rtol=1e-10)
    reached = np.exp(log_policies) @ reward
    np.testing.assert_allclose(bound[:3], reached[:3], rtol=1e-9)
    assert (reached[3:] < bound[3:53]).all()
    np.testing.assert_allclose(bound[53:], [np.exp(reference) @ reward, 1.0], atol=1e-10)
    np.testing.assert_allclose(bandit.target(THIN, 0.3), log_policies[1], atol=1e-12)


# Random numbers


def test_the_generator_is_splitmix64():
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert generator.outputs(jnp.uint64(1234567), jnp.arange(1, 6, dtype=jnp.uint64)).tolist() == known


def uniform(key, index, shape):
    """The generator again, in NumPy, as the training is retraced below."""
    with np.errstate(over="ignore"):

        def output(seed, count):
            z = np.uint64(seed) + np.asarray(count, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))

        base = output((int(key[0]) << 32) | int(key[1]), index + 1)
        return ((output(base, np.arange(1, np.prod(shape) + 1)) >> np.uint64(11)) * 2.0**-53).reshape(shape)


def test_actions_are_drawn_by_inversion_and_an_empty_bin_never():
    problem = bandit.problem(histogram_draws=150)
    drawn = jax.jit(batches.draw, static_argnums=(2, 6, 7, 8))(
        jnp.array([1, 2], jnp.uint32), jnp.uint32(3), policies.tabular(), problem.log_reference, problem, NUMBERS,
        50, 40, None, problem.reward,
    )  # fmt: skip
    cumulative = np.cumsum(np.exp(problem.log_reference))
    expected = np.searchsorted(cumulative, uniform((1, 2), 3, (50, 40)) * cumulative[-1], side="right")
    np.testing.assert_array_equal(drawn.actions, expected)
    assert np.isfinite(drawn.behaviour).all()


# Losses, by hand


def hand_losses(log_probs, reference, rewards, behaviour, s):
    """Every loss in plain loops over states, draws and pairs."""
    states, draws = rewards.shape
    out = dict.fromkeys(losses.ALGORITHMS, 0.0)
    kept = []
    for lp, ref, r, b in zip(log_probs, reference, rewards, behaviour, strict=True):
        best, worst = int(np.argmax(r)), int(np.argmin(r))
        others = sum(lp[i] for i in range(draws) if i != best) / (draws - 1)
        out["best_of_n"] -= lp[best]
        out["best_of_n_negative"] -= lp[best] - s.negative_weight * others
        out["best_of_n_worst"] -= lp[best] - s.negative_weight * lp[worst]
        shaped = r - s.entropy * b - s.kl_weight * (b - ref)
        for i in range(draws):
            out["rwr"] -= min(np.exp(r[i] / s.beta), s.weight_cap) * lp[i] / draws
            out["awr"] -= min(np.exp((r[i] - r.mean()) / s.beta), s.weight_cap) * lp[i] / draws
            advantage = shaped[i] - np.delete(shaped, i).mean()
            out["reinforce"] -= advantage * lp[i] / draws
            out["reinforce_running"] -= (shaped[i] - 0.25) * lp[i] / draws
            ratio = np.exp(lp[i] - b[i])
            out["ppo"] -= min(ratio * advantage, min(max(ratio, 1 - s.clip), 1 + s.clip) * advantage) / draws
        for i, j in itertools.combinations(range(draws), 2):
            if abs(r[i] - r[j]) > s.threshold:
                w, loser = (i, j) if r[i] > r[j] else (j, i)
                gap = lp[w] - ref[w] - lp[loser] + ref[loser]
                kept.append((-lp[w], np.log1p(np.exp(-s.beta * gap)), (gap - s.ipo_target) ** 2))
    out = {name: value / states for name, value in out.items()}
    return out | dict(zip(("pref_ft", "dpo", "ipo"), np.mean(kept, axis=0), strict=True))


@functools.partial(jax.jit, static_argnums=5)
def all_losses(log_probs, reference, rewards, behaviour, settings, names=tuple(losses.ALGORITHMS)):
    def one(name):
        extra = {"baseline": jnp.asarray(0.25)} if losses.ALGORITHMS[name].uses_baseline else {}
        return jax.value_and_grad(losses.ALGORITHMS[name].loss)(
            log_probs, reference, rewards, behaviour, settings, **extra
        )

    return {name: one(name) for name in names}


def test_every_loss_and_its_gradient_are_those_computed_by_hand():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(-2, 1, (3, 4)) for _ in range(3)]
    rewards = rng.random((3, 4)).round(1)
    rewards[0, 1] = rewards[0, 2]  # a tie
    log_probs, reference, behaviour = arrays
    computed = all_losses(log_probs, reference, rewards, behaviour, NUMBERS)
    by_hand = hand_losses(log_probs, reference, rewards, behaviour, NUMBERS)
    step = 1e-6
    shifts = []
    for i in range(log_probs.size):
        shift = step * (np.arange(log_probs.size) == i).reshape(log_probs.shape)
        up, down = (hand_losses(log_probs + sign * shift, reference, rewards, behaviour, NUMBERS) for sign in (1, -1))
        shifts.append({name: (up[name] - down[name]) / (2 * step) for name in up})
    for name, (value, gradient) in computed.items():
        assert float(value) == pytest.approx(by_hand[name], rel=1e-12), name
        # central differences: rounding 1e-16 / step and a remainder step^2
        np.testing.assert_allclose(np.ravel(gradient), [s[name] for s in shifts], atol=5e-9, err_msg=name)


def test_ppo_without_a_clip_is_the_importance_weighted_gradient():
    rng = np.random.default_rng(3)
    log_probs, reference, behaviour = rng.normal(-2, 1, (3, 3, 4))
    rewards = rng.random((3, 4))
    unclipped = NUMBERS._replace(clip=float("inf"))
    assert np.isinf(checked(unclipped).clip)
    value, gradient = all_losses(log_probs, reference, rewards, behaviour, unclipped)["ppo"]
    assert float(value) == pytest.approx(
        hand_losses(log_probs, reference, rewards, behaviour, unclipped)["ppo"], rel=1e-12
    )
    shaped = rewards - NUMBERS.entropy * behaviour - NUMBERS.kl_weight * (behaviour - reference)
    advantages = shaped - (shaped.sum(axis=1, keepdims=True) - shaped) / 3
    np.testing.assert_allclose(gradient, -np.exp(log_probs - behaviour) * advantages / 12, rtol=1e-12)


def test_the_floor_clamps_probabilities_and_stops_their_gradients():
    log_probs = jnp.log(jnp.array([1e-9, 1e-3, 1 - 1e-9]))
    value, slope = jax.vmap(jax.value_and_grad(losses.floored))(log_probs)
    np.testing.assert_allclose(value, np.log([2.0**-23, 1e-3, 1 - 2.0**-23]), rtol=1e-9)
    assert slope.tolist() == [0, 1, 0]


def test_derivatives_by_hand_are_the_differences_of_losses_by_hand():
    rng = np.random.default_rng(5)
    log_probs, reference = rng.normal(-2, 1, (2, 3, 4))
    rewards, plain = rng.random((3, 4)), Settings(beta=0.4, ipo_target=1.3, negative_weight=0.7)
    step, numbers = 1e-6, {**plain._asdict(), "baseline": 0.25}
    for name in floor_gradients.ALGORITHMS:
        slopes = floor_gradients.derivatives(name, log_probs[None], reference[None], rewards[None], numbers)[0]
        for place in np.ndindex(3, 4):
            shift = np.zeros((3, 4))
            shift[place] = step
            up, down = (hand_losses(log_probs + s, reference, rewards, reference, plain)[name] for s in (shift, -shift))
            assert slopes[place] == pytest.approx((up - down) / (2 * step), abs=5e-9), name


def test_labels_drop_ties_and_flip_fair_coins():
    rewards = jnp.array([[0.5, 0.5, 0.9]])
    sure = pairs.label(rewards)
    assert sure.kept.tolist() == [[0, 1, 1]]
    assert pairs.winners(rewards, sure)[0][0, 1:].tolist() == [0.9, 0.9]
    noisy = pairs.label_noisily(jnp.full((4, 3), jnp.array([[0.49, 0.2, 0.3]])), jnp.tile(rewards, (4, 1)), 0.4)
    assert noisy.kept.min() == 1
    assert noisy.first_wins[0].tolist() == [1, 1, 0]  # sigma(0) = .5, sigma(-1) = .27
    assert float(pairs.mean(jnp.ones((1, 3)), sure._replace(kept=jnp.zeros((1, 3))))) == 0


def test_the_reward_model_is_a_stationary_point_and_of_its_likelihood():
    rng = np.random.default_rng(0)
    wins, features = rng.poisson(3.0, (6, 6)).astype(float), rng.normal(size=(6, 3))
    fitted = np.asarray(jax.jit(reward_model.fit)(wins, features, 0.5))
    weights = np.linalg.lstsq(features, fitted, rcond=None)[0]
    slope = sum(
        wins[i, j] * expit(fitted[j] - fitted[i]) * (features[i] - features[j]) for i in range(6) for j in range(6)
    )
    np.testing.assert_allclose(slope, 0.5 * weights, atol=1e-9)


# Populations


@functools.partial(jax.jit, static_argnums=2)
def populations(log_policy, settings, label_mode="deterministic"):
    """Values and gradients in the logits of every population loss on NEAR."""

    def one(name):
        return jax.value_and_grad(
            lambda x: training.population(name, NEAR, jax.nn.log_softmax(x), settings, label_mode=label_mode)
        )(log_policy)

    return {name: one(name) for name in losses.ALGORITHMS}


def test_population_losses_are_the_limits_of_the_losses_of_batches():
    rng = np.random.default_rng(4)
    reference, reward = np.asarray(NEAR.log_reference), np.asarray(NEAR.reward)
    log_policy = log_softmax(reference + rng.normal(0, 0.5, 100))
    exact = populations(log_policy, NUMBERS)
    few = ("best_of_n", "best_of_n_negative", "best_of_n_worst", "pref_ft", "dpo", "ipo")
    for names, shape in ((few, (20, 1200, 10)), (("rwr", "awr", "reinforce", "ppo"), (20, 50, 400))):
        # Blocks of states are independent: their spread is the error of the mean.
        actions = rng.choice(100, p=np.exp(reference), size=shape)
        blocks = [all_losses(log_policy[a], reference[a], reward[a], reference[a], NUMBERS, names) for a in actions]
        for name in names:
            values = np.array([block[name][0] for block in blocks])
            error = 4 * values.std(ddof=1) / np.sqrt(len(values))
            assert abs(values.mean() - exact[name][0]) < error, (name, values.mean(), exact[name][0], error)
            assert error < 0.05 * abs(exact[name][0]), name


def test_population_gradients_in_the_logits_have_their_closed_forms():
    reference, reward = np.asarray(NEAR.log_reference), np.asarray(NEAR.reward)
    ratio = np.linspace(-1.0, 1.0, 100)
    policy, law = np.exp(log_softmax(reference + ratio)), np.exp(reference)
    wins = law[:, None] * law * expit((reward[:, None] - reward) / NUMBERS.temperature)
    flow = -2 * NUMBERS.beta * wins * expit(-NUMBERS.beta * (ratio[:, None] - ratio))
    pull = 4 * wins * (ratio[:, None] - ratio - NUMBERS.ipo_target)
    weights = law * np.minimum(np.exp(reward / NUMBERS.beta), NUMBERS.weight_cap)
    expected = {
        "best_of_n": policy - np.asarray(bandit.law_of_best(NEAR.reward, NEAR.log_reference, 10)),
        "rwr": policy * weights.sum() - weights,
        "pref_ft": policy - 2 * wins.sum(1),
        "dpo": flow.sum(1) - flow.sum(0),
        "ipo": pull.sum(1) - pull.sum(0),
    }
    computed = populations(reference + ratio, NUMBERS._replace(threshold=0.0), "bradley_terry")
    for name, gradient in expected.items():
        np.testing.assert_allclose(computed[name][1], gradient, atol=1e-13, err_msg=name)


# Whole runs, retraced in NumPy


def retrace(problem, s, key, gradient, schedule, *, on_policy, coins=0):
    """Logits after every step; `gradient` of one batch's (actions, coins, logits) by hand, Adam by hand."""
    steps, states, samples, dataset, minibatch, reuse, refresh = schedule
    reference, reward = np.asarray(problem.log_reference), np.asarray(problem.reward)
    logits, sampler, m, v, path = reference.copy(), reference, 0.0, 0.0, [reference]

    def draw(index, log_probs, count):
        u = uniform(key, index, (count, samples + coins))
        cumulative = np.cumsum(np.exp(log_softmax(log_probs)))
        return np.searchsorted(cumulative, u[:, :samples] * cumulative[-1], side="right"), u[:, samples:]

    data = draw(0, reference, dataset) if not on_policy else None
    for t in range(steps):
        batch, place = divmod(t, reuse)
        if on_policy and place == 0:
            sampler = logits if batch % refresh == 0 else sampler
            data = draw(batch, sampler, states)
        rows = np.arange(states) if on_policy else (batch * states + np.arange(states)) % dataset
        rows = rows[(place * minibatch + np.arange(minibatch)) % states]
        g = gradient(reward, reference, data[0][rows], data[1][rows], logits, s)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        ahead = m / (1 - 0.9 ** (t + 1)), v / (1 - 0.999 ** (t + 1))
        logits = logits - s.learning_rate * ahead[0] / (np.sqrt(ahead[1]) + 1e-8)
        path.append(logits)
    return log_softmax(np.array(path), axis=1)


def likelihood_gradient(reward, reference, actions, coins, logits, s):
    chosen = [row[np.argmax(reward[row])] for row in actions]
    return np.exp(log_softmax(logits)) - np.bincount(chosen, minlength=100) / len(chosen)


def winner_gradient(reward, reference, actions, coins, logits, s):
    winners = [
        i if coin < expit((reward[i] - reward[j]) / s.temperature) else j
        for row, flips in zip(actions, coins, strict=True)
        for (i, j), coin in zip(itertools.combinations(row, 2), flips, strict=True)
        if abs(reward[i] - reward[j]) >= s.threshold
    ]
    return np.exp(log_softmax(logits)) - np.bincount(winners, minlength=100) / len(winners)


def offline_run(**changes):
    options = {"num_steps": 12, "num_states": 3, "num_samples": 4, "dataset": 7, "minibatch": 2, "reuse": 2, "seeds": 2}
    options |= {"on_policy": False, "record_policy": True, "record_at": (0, 1, 5, 12)}
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), THIN, NEAR)
    return training.train_grid("best_of_n", policies.tabular(), both, **options | changes)


def test_offline_runs_are_adam_on_the_batches_of_the_data_set():
    rates = np.array([0.05, 0.2])
    run = offline_run(settings=Settings(learning_rate=rates))
    for (k, problem), i in itertools.product(enumerate((THIN, NEAR)), range(2)):
        key = np.random.SeedSequence((0, i)).generate_state(2)
        settings = NUMBERS._replace(learning_rate=rates[k])
        path = retrace(problem, settings, key, likelihood_gradient, (12, 3, 4, 7, 2, 2, 1), on_policy=False)
        np.testing.assert_allclose(run["log_policy"][k, i], path[[0, 1, 5, 12]], atol=1e-9)
        np.testing.assert_allclose(run["reward"][k, i], np.exp(path[[0, 1, 5, 12]]) @ problem.reward, atol=1e-9)
        aim = np.asarray(bandit.target(problem, 0.1))
        divergences = [(np.exp(p) * (p - q)).sum() for p, q in ((path[-1], problem.log_reference), (path[-1], aim))]
        np.testing.assert_allclose([run["kl_reference"][k, i, -1], run["kl_target"][k, i, -1]], divergences, atol=1e-9)
    assert run["num_queries"].tolist() == [28] * 4
    assert training.failures(run) == {"nonfinite": 0}


def test_on_policy_runs_draw_from_the_policy_of_the_last_refresh():
    run = training.train(
        "pref_ft", policies.tabular(), NEAR, num_steps=10, num_states=3, num_samples=4, on_policy=True, seeds=1,
        reuse=2, refresh=2, settings=NUMBERS, label_mode="bradley_terry", record_policy=True, record_every=5,
    )  # fmt: skip
    key = np.random.SeedSequence((0, 0)).generate_state(2)
    path = retrace(NEAR, NUMBERS, key, winner_gradient, (10, 3, 4, 0, 3, 2, 2), on_policy=True, coins=6)
    np.testing.assert_allclose(run["log_policy"][0], path[[0, 5, 10]], atol=1e-9)
    assert run["num_queries"].tolist() == [0, 36, 60]
    assert run["num_steps"].tolist() == [0, 5, 10]


def test_the_baseline_is_the_mean_of_all_rewards_seen():
    seen = []

    def gradient(reward, reference, actions, coins, logits, s):
        seen.extend(reward[actions].ravel())
        advantages = (reward[actions] - np.mean(seen)) / actions.size
        pull = np.zeros(100)
        np.add.at(pull, actions.ravel(), advantages.ravel())
        return advantages.sum() * np.exp(log_softmax(logits)) - pull

    settings = Settings(learning_rate=0.1)
    run = training.train(
        "reinforce_running", policies.tabular(), NEAR, num_steps=6, num_states=3, num_samples=4, on_policy=True,
        seeds=1, settings=settings, record_policy=True, record_every=2,
    )  # fmt: skip
    key = np.random.SeedSequence((0, 0)).generate_state(2)
    path = retrace(NEAR, settings, key, gradient, (6, 3, 4, 0, 3, 1, 1), on_policy=True)
    np.testing.assert_allclose(run["log_policy"][0], path[::2], atol=1e-9)


def test_every_run_learns_its_reward_model_with_a_key_of_its_own(monkeypatch):
    keys = []

    def learned(key, problem, *others):
        jax.debug.callback(lambda data: keys.append(data.tolist()), jax.random.key_data(key))
        return problem.reward

    monkeypatch.setattr(reward_model, "learned", learned)
    training.train(
        "pref_ft", policies.tabular(), NEAR, num_steps=1, num_states=2, num_samples=2, on_policy=True, seeds=3,
        label_mode="reward_model", reward_pairs=7,
    )  # fmt: skip
    jax.effects_barrier()
    own = [(np.random.SeedSequence((0, place)).generate_state(2) ^ np.uint32(1)).tolist() for place in range(3)]
    assert all(key in keys for key in own)
    assert all(key in own for key in keys)


def test_every_seed_has_a_data_set_of_its_own_which_is_that_of_its_run():
    drawn = data_sets.actions(NEAR, 5, 4, 6, seed=3)
    for place, actions in enumerate(drawn):
        u = uniform(np.random.SeedSequence((3, place)).generate_state(2), 0, (5, 4))
        cumulative = np.cumsum(np.exp(np.asarray(NEAR.log_reference)))
        np.testing.assert_array_equal(actions, np.searchsorted(cumulative, u * cumulative[-1], side="right"))


def test_a_run_that_overflows_is_reported_and_keeps_finite_numbers():
    run = offline_run(settings=Settings(learning_rate=np.array([1e308, 0.05])))
    assert (run["status"] == np.array([[Status.nonfinite], [Status.max_steps]])).all()
    assert all(np.isfinite(run[name]).all() for name in ("reward", "kl_reference", "kl_target", "chosen", "rejected"))
    assert training.failures(run) == {"nonfinite": 2}


# The network


def test_the_network_starts_at_the_reference_and_its_gradient_is_that_of_the_loop_in_numpy():
    by_hand = didactic_reference.Network(np.asarray(THIN.log_reference), np.random.default_rng(0), gain=1.0)
    p = by_hand.params
    params = [{"weight": p[f"w{k}"], "bias": p[f"b{k}"]} for k in range(4)]
    params[0] |= {"scale": p["scale"], "shift": p["shift"]}
    state = np.random.default_rng(1).random(100, dtype=np.float32)
    network = policies.mlp()

    @jax.jit
    def chosen(params):
        return jax.value_and_grad(lambda q: network.log_probs(q, THIN, state[None])[0, 63])(params)

    value, gradient = chosen(params)
    assert float(value) == pytest.approx(float(by_hand.log_probs(state)[63]), rel=1e-5)
    by_hand.add_gradient(63, 1.0)
    for k in range(4):
        scale = np.abs(by_hand.gradient[f"w{k}"]).max()
        np.testing.assert_allclose(gradient[k]["weight"], by_hand.gradient[f"w{k}"], atol=1e-5 * scale)
    np.testing.assert_allclose(gradient[0]["scale"], by_hand.gradient["scale"], rtol=1e-3, atol=1e-6)
    start = chosen(jax.jit(network.init)(jax.random.key(0), THIN))[0]
    assert float(start) == pytest.approx(float(THIN.log_reference[63]), abs=1e-4)


def test_a_network_that_is_fitted_first_makes_its_own_logits_next_to_the_reference():
    fitted, missing = (
        policies.mlp(start="fitted"),
        THIN._replace(log_reference=THIN.log_reference.at[:50].set(-jnp.inf)),
    )
    states = np.random.default_rng(3).random((40, 100), dtype=np.float32)

    @jax.jit
    def start(key, problem):
        params = fitted.init(key, problem)
        return params, fitted.log_probs(params, problem, states)

    params, found = start(jax.random.key(0), THIN)
    table, reference = np.asarray(found, float), np.asarray(THIN.log_reference)
    divergence = (np.exp(table) * (table - reference)).sum(axis=1)
    # In states that it was not fitted in. The reference's entropy is some nats; a network of gain 0.01 begins uniform.
    assert divergence.max() < 1e-3 < 0.1 < (np.full(100, 0.01) * (np.log(0.01) - reference)).sum()
    # Unlike the offset network it does not follow another reference, but for what that rules out.
    other = jax.jit(lambda p: fitted.log_probs(p, THIN._replace(log_reference=reference[::-1]), states))(params)
    np.testing.assert_allclose(other, table, atol=1e-5)
    ruled_out = jax.jit(lambda p: fitted.log_probs(p, missing, states))(params)
    assert np.isneginf(ruled_out[:, :50]).all()
    kept = missing._replace(log_reference=jax.nn.log_softmax(missing.log_reference))
    assert np.isfinite(np.asarray(start(jax.random.key(1), kept)[1])[:, 50:]).all()


@pytest.mark.slow
def test_at_a_given_rate_the_start_of_a_network_decides_how_far_reinforce_comes():
    """Of 100 steps at 0.001 on R1, from a network fitted to pi_ref as in the paper's public code, and from log pi_ref +
    network. Others ran that code to .396 with a deviation of .239 over 3 seeds, at settings that they do not give."""

    def ends(start):
        run = training.train(
            "reinforce", policies.mlp(start=start), THIN, num_steps=100, num_states=10, num_samples=10, on_policy=True,
            seeds=10, settings=Settings(learning_rate=1e-3), record_at=(100,),
        )  # fmt: skip
        return run["reward"][:, -1]

    fitted, offset = ends("fitted"), ends("offset")
    assert abs(fitted.mean() - 0.396) < 1.2 * 0.239
    assert fitted.max() < 0.5
    assert offset.min() > 0.9


def test_the_network_trains_by_adam_on_the_gradients_of_another_forward_pass():
    inputs, states, samples, rate = 3, 3, 4, 0.05
    network = policies.mlp(inputs, 4, 5, gain=1.0)
    run = training.train(
        "best_of_n", network, THIN, num_steps=3, num_states=states, num_samples=samples, on_policy=False, seeds=1,
        settings=Settings(learning_rate=rate), record_policy=True, record_at=(0, 1, 2, 3), num_eval=6,
    )  # fmt: skip
    key = np.random.SeedSequence((0, 0)).generate_state(2)
    start = jax.jit(network.init)(jax.random.wrap_key_data(jnp.asarray(key), impl="threefry2x32"), THIN)
    draws, contexts = np.split(uniform(key, 0, (states, samples + inputs)), [samples], axis=1)
    cumulative = np.cumsum(np.exp(THIN.log_reference))
    actions = np.searchsorted(cumulative, draws * cumulative[-1], side="right")
    best = [row[np.argmax(np.asarray(THIN.reward)[row])] for row in actions]

    def forward(params, rows):
        """(B, A) log pi in double precision, every sum written out as a contraction."""
        signal = jnp.einsum("bi,ij->bj", rows, params[0]["weight"]) + params[0]["bias"][None]
        centre = signal.mean(axis=1)[:, None]
        signal = (signal - centre) / jnp.sqrt(signal.var(axis=1) + 1e-5)[:, None]
        signal = signal * params[0]["scale"][None] + params[0]["shift"][None]
        for layer in params[1:]:
            signal = jnp.einsum("bi,ij->bj", jnp.maximum(signal, 0.0), layer["weight"]) + layer["bias"][None]
        logits = signal + THIN.log_reference[None]
        return logits - jnp.log(jnp.sum(jnp.exp(logits), axis=1))[:, None]

    slope = jax.jit(jax.grad(lambda params: -jnp.mean(forward(params, contexts)[np.arange(states), np.array(best)])))
    outlook = jax.jit(forward)
    judged = np.random.default_rng(0).random((6, inputs))
    leaves, shape = jax.tree.flatten(jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), start))
    first, second, path = [0.0] * len(leaves), [0.0] * len(leaves), []
    for step in range(4):
        policy = np.exp(outlook(jax.tree.unflatten(shape, leaves), judged))
        path.append(np.log(policy.mean(axis=0)))
        gradients = [np.asarray(leaf) for leaf in jax.tree.leaves(slope(jax.tree.unflatten(shape, leaves)))]
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients, strict=True)]
        scale = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        ahead = [m / scale[0] / (np.sqrt(v / scale[1]) + 1e-8) for m, v in zip(first, second, strict=True)]
        leaves = [leaf - rate * a for leaf, a in zip(leaves, ahead, strict=True)]
    assert np.abs(path[3] - path[0]).max() > 0.1
    np.testing.assert_allclose(run["log_policy"][0], path, atol=2e-5)


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "sft"}, "algorithm must be one of 'best_of_n'.*got 'sft'"),
        ({"label_mode": "oracle"}, "label_mode must be one of 'deterministic'.*got 'oracle'"),
        ({"algorithm": "rwr", "label_mode": "bradley_terry"}, "label_mode must be 'deterministic' for algorithm 'rwr'"),
        ({"num_samples": 1}, "num_samples must be at least 2 for algorithm 'dpo'; got 1"),
        ({"reuse": 0}, "reuse must be a whole number of at least 1; got 0"),
        ({"num_steps": 0}, "num_steps must be a whole number"),
        ({"num_states": 2.5}, "num_states must be a whole number"),
        ({"seeds": 0}, "seeds must be"),
        ({"dataset": 1}, "dataset must be at least num_states = 2; got 1"),
        ({"dataset": 5, "on_policy": True}, "dataset must be None on-policy"),
        ({"minibatch": 3}, "minibatch must be at most num_states = 2; got 3"),
        ({"refresh": 2}, "refresh must be 1 offline"),
        ({"settings": Settings(threshold=1.0)}, "settings.threshold must be below the spread of the rewards"),
        ({"settings": Settings(learning_rate=0.0)}, "settings.learning_rate must be positive"),
        ({"settings": Settings(clip=1.5)}, "settings.clip must be below 1, or inf for no clip; got 1.5"),
        ({"settings": Settings(clip=0.0)}, "settings.clip must be positive; got 0"),
        ({"settings": Settings(clip=np.nan)}, "settings.clip must be"),
        ({"settings": Settings(clip=-np.inf)}, "settings.clip must be positive; got -inf"),
        ({"settings": Settings(beta=[0.1, 0.2])}, "settings must be scalars"),
        ({"record_at": (0, 3)}, "record_at must be increasing whole numbers that end with num_steps = 4"),
        ({"record_at": (0, 4), "record_every": 2}, "record_every must be None"),
        ({"label_mode": "reward_model", "reward_features": np.ones((3, 2))}, "reward_features must be"),
    ],
)
def test_bad_input_is_refused_by_name(changes, message):
    options = {"algorithm": "dpo", "num_steps": 4, "num_states": 2, "num_samples": 3, "on_policy": False, "seeds": 1}
    options |= changes
    with pytest.raises(ValueError, match=message):
        training.train(options.pop("algorithm"), policies.tabular(), THIN, **options)


def test_bad_problems_and_populations_are_refused_by_name():
    for call, message in (
        (lambda: bandit.problem(width=0), "width must be positive"),
        (lambda: bandit.problem(np.nan), "peak must be finite"),
        (lambda: bandit.problem(num_actions=1), "num_actions must be at least 2"),
        (lambda: bandit.frontier(THIN, -1.0), "kl must be non-negative"),
        (lambda: bandit.best_of_n(THIN, 0), "n must be a whole number"),
        (lambda: policies.mlp(gain=-1.0), "gain must be positive"),
        (lambda: policies.mlp(start="fit"), "start must be one of 'offset', 'fitted'"),
        (lambda: training.population("sft", THIN, THIN.log_reference), "algorithm must be one of"),
        (lambda: training.population("dpo", THIN, jnp.zeros(3)), "log_policy must be"),
        (lambda: training.population("best_of_n_worst", THIN, THIN.log_reference, num_samples=1), "at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
