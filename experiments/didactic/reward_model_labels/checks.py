"""The checks of `reward_model_labels`: the model's error and order, its limit, and where runs end."""

import numpy as np

from banditlab.claims.checks import Check, interval, lower, upper
from banditlab.store import Table
from experiments.didactic.reward_model_labels.runs import LEARNED, NOISY, TRUE


def check(table: Table) -> list[Check]:
    """The model's error and order, its limit, and where runs on each kind of label end."""
    checks = []
    fits = table.where(part="fit")
    for name, says in (
        ("error", "n times the squared error of the learned differences"),
        ("agreement", "pairs ordered"),
    ):
        for count in np.unique(fits["x"])[-2:].tolist():
            row = fits.where(name=name, x=count)
            claim = f"reward model, {count:.0f} labels: {says}"
            checks.append(interval(claim, row["predicted"][0], row["value"][0], row["value_se"][0]))
    exact = table.where(part="exact")
    claim = "reward model of exact counts: distance to the rewards, at most the ridge's"
    checks.append(upper(claim, exact["predicted"][0], exact["value"][0]))
    runs = table.where(part="run")
    for place, mode in enumerate(runs["name"].tolist()):
        numbers = {key: runs[key][place] for key in ("predicted", "value", "value_se", "predicted_se", "left", "x")}
        says = f"{mode} of {numbers['x']:.0f} labels" if mode == LEARNED else mode
        claim = f"Pref-FT, {says}: E R at the end"
        error = float(np.hypot(numbers["value_se"], numbers["predicted_se"]))
        why = "what a 1/t approach has left"
        checks.append(
            interval(claim, numbers["predicted"], numbers["value"], error, allowance=numbers["left"], why=why)
        )
    most = runs.where(name=LEARNED, x=runs["x"].max())
    noisy, true = runs.where(name=NOISY), runs.where(name=TRUE)
    for better, worse, claim in (
        (most, noisy, f"Pref-FT: E R with a reward model of {most['x'][0]:.0f} labels over Bradley-Terry labels"),
        (true, noisy, "Pref-FT: E R with true rewards over Bradley-Terry labels"),
    ):
        error = np.hypot(better["value_se"][0], worse["value_se"][0])
        gain = better["value"][0] - worse["value"][0] - 4 * error
        checks.append(lower(claim, 0.0, gain, why="less four standard errors"))
    return checks
