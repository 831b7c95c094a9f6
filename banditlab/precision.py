"""The one global option that importing banditlab sets: `jax_enable_x64`, unless BANDITLAB_PRECISION=float32."""

import os

import jax

PRECISION = os.environ.get("BANDITLAB_PRECISION", "float64")
if PRECISION not in ("float32", "float64"):
    raise ValueError(f"BANDITLAB_PRECISION must be 'float32' or 'float64'; got {PRECISION!r}")
jax.config.update("jax_enable_x64", PRECISION == "float64")
