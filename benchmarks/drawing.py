"""Cost of drawing multinomial counts: nanoseconds per cell (heap) and per label (direct), compile time apart."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import multinomial

_NUM_LANES = 128
_REPEATS = 15
# cells, labels, branch: the small tables of the headline figures, then one table at growing numbers of labels
_SETTINGS = (
    (49, 800, "direct"),
    (800, 800, "direct"),
    (800, 1000, "direct"),
    (49, 800, "heap"),
    (49, 10**5, "heap"),
    (49, 10**12, "heap"),
    (800, 1000, "heap"),
    (800, 10**5, "heap"),
    (800, 10**6, "heap"),
    (800, 10**9, "heap"),
    (800, 10**12, "heap"),
)


def main() -> None:
    """Print one line per setting: minimum and median over repeats of a batch of independent draws."""
    print(f"device {jax.devices()[0].device_kind}, {_NUM_LANES} draws a call")
    print(f"{'cells':>6} {'labels':>8} {'branch':>7} {'min':>8} {'median':>8} {'a draw':>9} {'compile':>8}")
    for num_cells, num_labels, branch in _SETTINGS:
        capacity = 1 << (num_labels - 1).bit_length() if branch == "direct" else None
        compiling, seconds = _time_draw(num_cells, float(num_labels), capacity)
        units = _NUM_LANES * (num_labels if branch == "direct" else num_cells)
        low, middle = (1e9 * quantile(seconds) / units for quantile in (np.min, np.median))
        print(
            f"{num_cells:6d} {num_labels:8.0e} {branch:>7} {low:8.1f} {middle:8.1f} "
            f"{1e6 * np.min(seconds) / _NUM_LANES:6.2f} us {compiling:6.2f} s"
            f"   (ns a {'label' if branch == 'direct' else 'cell'})"
        )


def _time_draw(num_cells, num_labels, capacity):
    """Seconds to compile, and seconds per call of a batch of draws from Dirichlet tables."""
    key_tables, key_draws = jax.random.split(jax.random.key(0))
    tables = jax.random.dirichlet(key_tables, jnp.ones(num_cells), (_NUM_LANES,))
    keys = jax.random.split(key_draws, _NUM_LANES)

    def draw(keys, tables, num_trials):
        return jax.vmap(lambda key, table: multinomial.draw(key, table, num_trials, capacity=capacity))(keys, tables)

    arguments = (keys, tables, jnp.asarray(num_labels))
    start = time.perf_counter()
    compiled = jax.jit(draw).lower(*arguments).compile()
    compiling = time.perf_counter() - start
    jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - start)
    return compiling, np.asarray(seconds)


if __name__ == "__main__":
    main()
