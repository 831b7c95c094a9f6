"""The progress of an experiment's shards on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from banditlab.store.shards import Event, Listener
from banditlab.terminal import Terminal, printable


@contextmanager
def progress(name: str) -> Iterator[Listener]:
    """A progress bar over the arms on a terminal, nothing elsewhere; warnings of bad shards everywhere."""
    console = Terminal(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=None)

        def listen(event: Event, detail: str) -> None:
            if event == "corrupt":
                console.print(f"warning: {detail}")
            elif event == "expected":
                bar.update(task, total=float(detail))
            elif event == "started":
                bar.update(task, description=printable(f"{name}: {detail}"))
            else:
                bar.advance(task)

        yield listen
