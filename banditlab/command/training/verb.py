"""`llm train`: from the words to a trained model."""

from __future__ import annotations

from pathlib import Path

import tyro

from banditlab.command.parsing import in_one_line
from banditlab.command.training.configuration import configure
from banditlab.command.training.folder import Folder
from banditlab.command.training.options import Options
from banditlab.command.training.running import run
from banditlab.errors import CommandLineError, writing
from banditlab.llm.checkpoint import CheckpointError
from banditlab.terminal import Terminal


def train(words: list[str], prog: str) -> int:
    """Train as the words say; 0.

    Raises:
        CommandLineError: for words that cannot be done, and a checkpoint that cannot be gone on from.
        KeyboardInterrupt: when interrupted, with what the user is to do.
    """
    options = in_one_line(lambda: tyro.cli(Options, args=words, prog=prog), prog)
    folder = Folder(options.out or _default_folder(options))
    console = Terminal()
    try:
        with writing("--out", folder.root):
            run(configure(options), folder, console)
    except CheckpointError as error:
        raise CommandLineError(str(error)) from error
    except KeyboardInterrupt as stop:
        stop.args = ("the same command goes on from the last whole round",)
        raise
    console.print(f"done: {folder.metrics}")
    return 0


def _default_folder(options: Options) -> Path:
    name = f"{options.task}-{options.method}-{options.preset}-{options.seed}"
    return Path("results") / "llm" / name.replace("_", "-")
