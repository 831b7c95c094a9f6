"""The entry point of `banditlab` and of `python -m experiments`."""

import sys
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from banditlab.command.parsing import parsed
from banditlab.command.reporting import complain
from banditlab.command.verbs import app
from banditlab.errors import ClaimError, CommandLineError

DESCRIPTION = """Run, draw and verify claims on preference learning, banditlab's own and yours.

`llm train` trains a language model (`llm train --help`); `--version` prints the version."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; 0 when all is well, 1 after a failure, 2 when it cannot be done as typed.

    130 after an interruption. Errors of the operating system are one line, and 2.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == ["--version"]:
            print(version("banditlab"))
            return 0
        if words[:1] == ["llm"]:
            return _llm(words[1:])
        return parsed(app, words, program(), DESCRIPTION)()
    except (ClaimError, CommandLineError) as error:
        complain(str(error))
        return 2
    except OSError as error:
        what = f"'{error.filename}': " if error.filename else ""
        complain(f"{what}{error.strerror or error}")
        return 2
    except KeyboardInterrupt as stop:
        errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        errors.print(f"interrupted; {str(stop) or 'finished shards are kept and will be reused'}")
        return 130


def program() -> str:
    """How this process was called."""
    called = Path(sys.argv[0])
    inside = called.name == "__main__.py"
    return "python -m experiments" if inside and called.parent.name == "experiments" else "banditlab"


def _llm(words: list[str]) -> int:
    if words[:1] != ["train"]:
        raise CommandLineError(f"llm must be followed by train; got {' '.join(words) or 'nothing'}")
    from banditlab.command.training.verb import train

    return train(words[1:], f"{program()} llm train")
