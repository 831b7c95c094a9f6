"""The entry point of `banditlab` and of `python -m experiments`."""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from banditlab.command.parsing import parsed
from banditlab.command.reporting import complain, warn
from banditlab.command.verbs import app
from banditlab.errors import ClaimError, CommandLineError
from banditlab.store.stopping import Terminated, listening

DESCRIPTION = """Run, draw and verify claims on preference learning, banditlab's own and yours.

`llm train` trains a language model (`llm train --help`); `--version` prints the version."""
_STOPPED = (130, 143)


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; 0 when all is well, 1 after a failure, 2 when it cannot be done as typed.

    130 after Ctrl-C, 143 after SIGTERM, 141 where nobody reads what is printed any more. Errors of the operating
    system are one line, and 2.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with listening():
            code = _run(words)
        sys.stdout.flush()
        return code
    except (ClaimError, CommandLineError) as error:
        complain(str(error))
        return 2
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        what = f"'{error.filename}': " if error.filename else ""
        complain(f"{what}{error.strerror or error}")
        return 2
    except KeyboardInterrupt as stop:
        warn(f"interrupted; {str(stop) or 'finished shards are kept and will be reused'}")
        return _STOPPED[isinstance(stop, Terminated)]


def script() -> NoReturn:
    """The console script: `main` and the end of the process."""
    leave(main())


def leave(code: int) -> NoReturn:
    """End the process. After a signal at once: threads that still compute crash in an interpreter that is ending."""
    if code in _STOPPED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(words: list[str]) -> int:
    if words[:1] == ["--version"]:
        print(version("banditlab"))
        return 0
    try:
        return _llm(words[1:]) if words[:1] == ["llm"] else parsed(app, words, program(), DESCRIPTION)()
    except SystemExit:  # after a help text
        sys.stdout.flush()
        raise


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
