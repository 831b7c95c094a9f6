"""The claims of this repository: what is claimed, how it is measured, how it is checked, how it is drawn.

A claim is one file, or one package, in the folder of its family; `experiments.claims` lists them. `shared` holds the
kits that several use. `python -m experiments` is the command.
"""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

# Before NumPy loads: the workers of a threaded OpenBLAS spin after every call, on cores that XLA's devices need.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
