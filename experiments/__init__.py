"""One file per claim: what is claimed, how it is measured, how it is checked, how it is drawn.

`python -m experiments` is the command line; `experiments.framework.registry` lists the experiments.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
