"""C_kl of random bandits, and the divergences that random rewards of a span reach, by the library."""

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import coverage, metrics
from banditlab.exact.bounded_reward import extremal_mass
from banditlab.exact.kl_ball import tolerated
from experiments.partial_coverage.shared.bare_bandits import bare_environment, uneven_weights

# Column -> how the array of it ends its name.
ENDS = {"coverage": "", "lower": "_low", "upper": "_high"}


def constants(
    radii: tuple[float, ...], masses: tuple[float, ...], num_bandits: int, shape: tuple[int, int], seed: int
) -> dict[str, np.ndarray]:
    """C_kl by the library and its enclosure: of two actions (masses and 0, radii), and of random bandits.

    The last radius is inf.
    """
    rng = np.random.default_rng(seed)
    all_masses = np.array([*masses, 0.0])
    size = (num_bandits, *shape)
    # Two actions of the first context; the others have probability zero, so that one shape serves all.
    padded = np.zeros((len(all_masses), *shape))
    padded[:, 0, 0], padded[:, 0, 1], padded[:, 1:] = 1 - all_masses, all_masses, 1 / shape[1]
    weights = uneven_weights(rng, size, 0.3, 1e-6)
    reference = {"curve": padded, "random": weights / weights.sum(-1, keepdims=True)}
    first = np.eye(shape[0])[:1]
    rho = {
        "curve": np.repeat(first, len(all_masses), axis=0),
        "random": rng.dirichlet(np.full(shape[0], 3.0), num_bandits),
    }
    stacked = [jnp.asarray(np.concatenate(list(parts.values()))) for parts in (reference, rho)]
    classes = jnp.asarray(np.concatenate([np.where(padded > 0, 0.0, -np.inf), np.zeros(size)]))
    classes = classes.at[: len(all_masses), 0, 1].set(0.0)  # the rare action is in the class whatever its mass
    values = np.asarray(_ball(*stacked, classes, jnp.asarray(radii)))
    found = {"curve": values[: len(all_masses)], "random": values[len(all_masses) :]}
    for name in ("curve", "random"):
        ends = [tolerated(reference[name], rho[name], radius) for radius in radii]
        found |= dict(zip((f"{name}_low", f"{name}_high"), np.moveaxis(np.array(ends), (0, 1), (2, 0)), strict=True))
    for end in ("low", "high"):  # an action without mass: the unconstrained supremum is infinite by definition
        found[f"curve_{end}"][-1, -1] = np.inf
    return found


def reached(spans: tuple[float, ...], num_rewards: int, shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """E_x KL(pi || pi_ref) and max pi/pi_ref (spans, num_rewards) of random rewards; the KL of the extremal ones."""
    rng = np.random.default_rng((seed, 1))
    size = (num_rewards, *shape)
    weights = uneven_weights(rng, size, 0.05, 1e-12)
    reference = jnp.asarray(np.log(weights / weights.sum(-1, keepdims=True)))
    # From uniform rewards to ones that are nearly always at an end of the span.
    first, second = np.exp(rng.uniform(np.log(0.05), 0.0, (2, num_rewards, 1, 1)))
    unit = rng.beta(first, second, size)
    unit -= unit.min(-1, keepdims=True)
    unit = jnp.asarray(unit / unit.max(-1, keepdims=True))
    rho = jnp.asarray(rng.dirichlet(np.ones(shape[0]), num_rewards))
    beta = jnp.asarray(np.exp(rng.uniform(np.log(0.1), np.log(10.0), num_rewards)))
    widths = jnp.asarray(spans)
    divergence, ratio = _rlhf(rho, reference, unit, beta, widths)
    masses = [extremal_mass(span) for span in spans]
    two = np.stack([[[1 - mass, mass]] for mass in masses])
    ends = jnp.broadcast_to(jnp.array([[0.0, 1.0]]), two.shape)
    ones = jnp.ones(len(masses))
    extremal, _ = _rlhf(ones[:, None], jnp.asarray(np.log(two)), ends, ones, widths)
    found = {"divergence": divergence, "ratio": ratio, "extremal": np.diagonal(extremal)}
    return {name: np.asarray(values) for name, values in found.items()}


@jax.jit
def _ball(reference, context_probs, log_base, radii):
    """C_kl (N, radii) for references (N, S, A) and context_probs (N, S)."""

    def one(probs, rho, base):
        env = bare_environment(rho, jnp.log(probs), jnp.zeros_like(probs), jnp.ones(()), base)
        return jax.vmap(lambda radius: coverage.kl_ball(env, radius))(radii)

    return jax.vmap(one)(reference, context_probs, log_base)


@jax.jit
def _rlhf(context_probs, log_reference, unit, beta, spans):
    """E_x KL and max pi/pi_ref (spans, N) of pi ∝ pi_ref e^{r/beta}, r = span beta unit, unit (N, S, A) of span 1."""

    def one(rho, log_ref, table, temperature, span):
        env = bare_environment(rho, log_ref, table * span * temperature, temperature, jnp.zeros_like(table))
        return metrics.kl_reference(env, env.log_target), jnp.exp(jnp.max(env.log_target - log_ref))

    lanes = jax.vmap(one, in_axes=(0, 0, 0, 0, None))
    return jax.vmap(lanes, in_axes=(None, None, None, None, 0))(context_probs, log_reference, unit, beta, spans)
