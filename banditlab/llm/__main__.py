"""``python -m banditlab.llm``: train a method on a task."""

from __future__ import annotations

import sys
from pathlib import Path

import tyro
from rich.console import Console

from banditlab.llm.checkpoint import CheckpointError
from banditlab.llm.command.arguments import CommandLineError
from banditlab.llm.command.configuration import configure
from banditlab.llm.command.folder import Folder
from banditlab.llm.command.options import Options
from banditlab.llm.command.running import run


def main(arguments: list[str]) -> int:
    """Run one command line; 0 when all is well, 2 when it cannot be done as typed, 130 when interrupted."""
    console = Console(soft_wrap=True, highlight=False, markup=False)
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        options = tyro.cli(Options, args=arguments, prog="python -m banditlab.llm")
        folder = Folder(options.out or _default_folder(options))
        run(configure(options), folder, console)
    except (CommandLineError, CheckpointError) as error:
        errors.print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on from the last whole round")
        return 130
    console.print(f"done: {folder.metrics}")
    return 0


def _default_folder(options: Options) -> Path:
    name = f"{options.task}-{options.method}-{options.preset}-{options.seed}"
    return Path("results") / "llm" / name.replace("_", "-")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
