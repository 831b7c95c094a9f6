"""HyPO and gradient DPO as algorithms: their contract, their labels, and where they stop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import banditlab as bl
from banditlab.algorithms import batches
from banditlab.algorithms.hypo import gradient_dpo, hypo
from banditlab.estimators.descent import descend

CHAIN = bl.instances.chain()


def test_gradient_dpo_reaches_the_likelihoods_maximum_on_offline_dpos_labels_and_numbers_do_not_recompile():
    traced = []

    @jax.jit
    def play(algorithm, key):
        traced.append(None)
        return algorithm.step(key, algorithm.init(key, CHAIN), CHAIN)

    key = jax.random.key(3)
    found, info = play(gradient_dpo(200, num_steps=3000, step_size=2.0, beta=1.0), key)
    assert info.status == bl.Status.converged
    law = bl.preferences.outcome_law(CHAIN, bl.samplers.initial(CHAIN, CHAIN.log_initial))
    np.testing.assert_array_equal(found.wins, batches.draw(key, law, jnp.float64(200), batches.size(200)[1]))
    np.testing.assert_allclose(found.params, np.log(found.wins[0, 1, 0] / found.wins[0, 0, 1]), rtol=1e-6)
    for number in range(1, 8):
        options = {"num_steps": number, "step_size": 0.1 * number, "beta": 0.2 * number, "tolerance": 1e-9 * number}
        _, info = play(hypo(200 + number, 0.1 * number, name="gradient_dpo", **options), key)
        assert info.status == bl.Status.max_steps
    assert len(traced) == 1


def test_at_a_stop_every_unseen_action_gained_the_kl_in_log_probability():
    # theory.md, section 7; labels on actions 0 and 1 alone.
    reference = np.array([0.3, 0.4, 0.2, 0.1])
    env = bl.instances.tabular(np.array([[1.0, 0.0, 2.0, -1.0]]), np.log(reference)[None])
    wins = np.zeros((1, 4, 4))
    wins[0, 0, 1], wins[0, 1, 0] = 7.0, 3.0
    step = jax.jit(descend)
    run = step(
        jax.random.key(0), env, wins, np.zeros(4) + np.log(reference), record_at=np.array([4000]), step_size=4.0,
        penalty=0.2,
    )  # fmt: skip
    assert run.status == bl.Status.converged
    log_ratio = np.asarray(env.log_policy(run.params[0]) - env.log_reference)[0]
    divergence = float(bl.metrics.kl_reference(env, env.log_policy(run.params[0])))
    np.testing.assert_allclose(log_ratio[2:], divergence, atol=1e-6)
    assert divergence > 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"penalty": -0.1}, "penalty must be non-negative and finite; got -0.1"),
        ({"step_size": 0.0}, "step_size must be positive and finite; got 0.0"),
        ({"num_steps": 0}, "num_steps must be a whole number of at least 1; got 0"),
        ({"kl": "forward"}, "kl must be one of 'exact', 'rloo', 'reinforce'; got 'forward'"),
        ({"kl": "reinforce", "num_samples": 0}, "num_samples must be a whole number of at least 1; got 0"),
        ({"kl": "rloo", "num_samples": 1}, "num_samples must be at least 2 for kl = 'rloo'; got 1"),
        ({"beta": 0.0}, "beta must be positive and finite; got 0.0"),
        ({"loss": "hinge"}, "loss must be one of 'dpo', 'ipo'; got 'hinge'"),
        ({"num_pairs": 0}, "num_pairs must be a whole number of at least 1"),
    ],
)
def test_hypo_names_what_it_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        hypo(**{"num_pairs": 10, "penalty": 0.1, **changes})
