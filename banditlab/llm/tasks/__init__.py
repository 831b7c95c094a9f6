"""Tasks whose every response can be listed, so that what a language model learns is known exactly."""

from collections.abc import Callable

from banditlab.llm.tasks.base import Task, model_options
from banditlab.llm.tasks.habit import TARGET_PROB, HabitTarget, coverage_dial, habit_target
from banditlab.llm.tasks.length import LengthLaw, LengthTask, min_length, mode_length, skew_length

# By the names of the command line.
TASKS: dict[str, Callable[..., Task]] = {
    "habit_target": habit_target,
    "coverage_dial": coverage_dial,
    "min_length": min_length,
    "mode_length": mode_length,
    "skew_length": skew_length,
}

__all__ = [
    "TARGET_PROB",
    "TASKS",
    "HabitTarget",
    "LengthLaw",
    "LengthTask",
    "Task",
    "coverage_dial",
    "habit_target",
    "min_length",
    "mode_length",
    "model_options",
    "skew_length",
]


def __dir__() -> list[str]:
    return __all__
