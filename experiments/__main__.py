"""``python -m experiments``: the console command `banditlab` with this repository's claims."""

import sys

from banditlab.claims.registry import register
from banditlab.command import main
from experiments.claims import CLAIMS

register(CLAIMS)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
