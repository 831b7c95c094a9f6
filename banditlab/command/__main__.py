"""``python -m banditlab.command``: the console command, where no script is installed."""

import sys

from banditlab.command.main import main

if __name__ == "__main__":
    sys.exit(main())
