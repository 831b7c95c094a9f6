"""``python -m banditlab.llm``: the verb `llm train` of the console command."""

import sys

from banditlab.command.main import leave, main

if __name__ == "__main__":
    leave(main(["llm", "train", *sys.argv[1:]]))
