"""One runner for many independent runs: blocks of one fixed shape, one block per device and call.

Rounding depends on the shapes of a compiled program. Here these are the shapes of one block, whatever the number of
runs and of devices: the last block is filled up, and so is the last call. So neither number changes a bit of a result.
More runs compile nothing anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import Array
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from banditlab.numerics import compilation

Devices = tuple[Any, ...]  # of jax.Device, which is no type to the checker

_AXIS = "devices"


def size(cells: int, budget: int, limits: tuple[int, int]) -> int:
    """Lanes per block, a power of two: as many as keep `cells` numbers each within `budget`, between `limits`."""
    smallest, largest = limits
    return max(smallest, min(largest, 2 ** ((max(1, budget // cells)).bit_length() - 1)))


def compiled(
    block: Callable[..., Any],
    devices: Devices,
    *,
    num_shared: int,
    compiler: Callable[..., Any] = compilation.outermost,
) -> Callable[..., Any]:
    """The program of `run`: `block(own, *shared)` on each of `devices`, with own arrays on each and `num_shared` more.

    Keep it (`functools.lru_cache`): every call of this function compiles.
    """

    def on_device(own: Any, *shared: Any) -> Any:
        result = block(jax.tree.map(lambda leaf: leaf[0], own), *shared)
        return jax.tree.map(lambda leaf: leaf[None], result)

    own, shared = PartitionSpec(_AXIS), PartitionSpec()
    specs = (own, *(shared,) * num_shared)
    return compiler(jax.shard_map(on_device, mesh=_mesh(devices), in_specs=specs, out_specs=own, check_vma=False))


def run(program: Callable[..., Any], devices: Devices, blocks: Sequence[Any], *shared: Any, progress: str = "") -> Any:
    """What `program` returns for each of `blocks`: NumPy arrays with a leading axis of blocks.

    Args:
        program: of `compiled`, for the same devices.
        devices: a call hands one block to each; the last call repeats the last block.
        blocks: pytrees of equal structure and shapes.
        shared: arguments that all blocks read.
        progress: words of a progress bar on a terminal; none if empty.
    """
    mesh = _mesh(devices)
    own, everywhere = (NamedSharding(mesh, spec) for spec in (PartitionSpec(_AXIS), PartitionSpec()))
    shared = jax.device_put(shared, everywhere)
    results: list[Any] = []
    for group in _tracked(range(0, len(blocks), len(devices)), progress):
        chosen = [blocks[min(group + place, len(blocks) - 1)] for place in range(len(devices))]
        stacked = jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *chosen)
        results.append(program(jax.device_put(stacked, own), *shared))
        # Two calls in flight keep the devices busy; older ones move to the host, which bounds the memory.
        if len(results) > 2:
            results[-3] = jax.device_get(results[-3])
    gathered = jax.device_get(results)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(blocks)], *gathered)


def of_lanes(one: Callable[..., dict[str, Array]], size: int) -> Callable[..., dict[str, Array]]:
    """(lanes, *shared) -> `one(lane, *shared)` of each of `size` lanes, side by side."""

    def block(lanes: Any, *shared: Any) -> dict[str, Array]:
        if size > 1:
            return jax.vmap(lambda lane: one(lane, *shared))(lanes)
        # Without a batch axis, a matrix product stays one, and a branch is taken or not.
        alone = one(jax.tree.map(lambda leaf: leaf[0], lanes), *shared)
        return jax.tree.map(lambda leaf: leaf[None], alone)

    return block


def run_lanes(
    program: Callable[..., Any], devices: Devices, size: int, lanes: Any, *shared: Any
) -> dict[str, np.ndarray]:
    """`run` of N lanes in blocks of `size`: name -> (N, ...).

    Args:
        program: of `compiled(of_lanes(one, size), ...)`.
        lanes: pytree of NumPy arrays with a leading axis N. The last lane fills the last block up.
    """
    count = len(jax.tree.leaves(lanes)[0])
    order = np.minimum(np.arange(-(-count // size) * size), count - 1).reshape(-1, size)
    blocks = [jax.tree.map(lambda leaf, rows=rows: leaf[rows], lanes) for rows in order]
    results = run(program, devices, blocks, *shared)
    return {name: np.concatenate(leaf)[:count] for name, leaf in results.items()}


def _mesh(devices: Devices) -> Mesh:
    return Mesh(np.asarray(devices), (_AXIS,), axis_types=(AxisType.Auto,))


def _tracked(groups: Sequence[int], words: str) -> Iterator[int]:
    if not words:
        return iter(groups)
    from rich.progress import track

    return iter(track(groups, description=words, transient=True))
