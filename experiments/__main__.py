"""``python -m experiments``: the console command `banditlab` with this repository's claims."""

from banditlab.claims.registry import register
from banditlab.command.main import script
from experiments.claims import CLAIMS

register(CLAIMS)

if __name__ == "__main__":
    script()
