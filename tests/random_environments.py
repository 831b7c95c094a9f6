"""Random environments with nothing uniform about them, shared by the tests of the core."""

import numpy as np

import banditlab as bl


def random_environment(
    seed: int, shape: tuple[int, int, int] = (3, 4, 3), beta: float = 0.7, **changes
) -> bl.Environment:
    """Gaussian features (S, A, d) and theta*, Dirichlet reference and context probabilities, pi_0 != pi_ref."""
    rng = np.random.default_rng(seed)
    num_contexts, num_actions, num_features = shape
    arguments = {
        "features": rng.standard_normal(shape),
        "target_params": rng.standard_normal(num_features),
        "log_reference": np.log(rng.dirichlet(np.ones(num_actions), num_contexts)),
        "context_probs": rng.dirichlet(np.ones(num_contexts)),
        "initial_params": rng.standard_normal(num_features),
        "beta": beta,
    } | changes
    return bl.Environment.create(arguments.pop("features"), **arguments)


def random_policy(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """(S, A) log-probabilities, Dirichlet in every context."""
    return np.log(np.random.default_rng(seed).dirichlet(np.ones(shape[1]), shape[0]))


def random_pair_law(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """(S, A, A) of total mass 1, not symmetric, with self-pairs."""
    num_contexts, num_actions = shape
    cells = num_contexts * num_actions**2
    return np.random.default_rng(seed).dirichlet(np.ones(cells)).reshape(num_contexts, num_actions, num_actions)


def random_wins(seed: int, shape: tuple[int, int], largest: int = 5) -> np.ndarray:
    """(S, A, A) whole counts from 0 to `largest`, self-pairs included."""
    num_contexts, num_actions = shape
    return np.random.default_rng(seed).integers(0, largest + 1, (num_contexts, num_actions, num_actions)) * 1.0
