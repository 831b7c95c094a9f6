"""``python -m banditlab.llm``: the verb `llm train` of the console command."""

import sys

from banditlab.command.main import main

if __name__ == "__main__":
    sys.exit(main(["llm", "train", *sys.argv[1:]]))
