"""The checks of `reward_model_labels`: the model's error and order, its limit, and where runs end."""

from collections.abc import Iterator, Mapping

import numpy as np

from banditlab.claims import Check, Table, above, interval, upper
from experiments.didactic.reward_model_labels.runs import NOISY, TRUE


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The model's error and order, its limit, and where runs on each kind of label end."""
    fits, exact, direct, learned = (tables[part] for part in ("fits", "exact", "direct", "learned"))
    checks = []
    for name, says in (
        ("error", "n times the squared error of the learned differences"),
        ("agreement", "pairs ordered"),
    ):
        for row in _rows(fits.kept(np.argsort(fits["labels"])[-2:])):
            claim = f"reward model, {row['labels']:.0f} labels: {says}"
            checks.append(interval(claim, row[f"{name}_predicted"], row[name], row[f"{name}_se"]))
    claim = "reward model of exact counts: distance to the rewards, at most the ridge's"
    checks.append(upper(claim, exact["bound"][0], exact["distance"][0]))
    checks += [_end(row, row["labeller"], 0.0) for row in _rows(direct)]
    checks += [_end(row, f"reward_model of {row['labels']:.0f} labels", row["predicted_se"]) for row in _rows(learned)]
    (noisy,), (true,) = (_rows(direct.where(labeller=mode)) for mode in (NOISY, TRUE))
    most = max(_rows(learned), key=lambda row: row["labels"])
    for better, says in ((most, f"a reward model of {most['labels']:.0f} labels"), (true, "true rewards")):
        error = np.hypot(better["reward_se"], noisy["reward_se"])
        claim = f"Pref-FT: E R with {says} over Bradley-Terry labels"
        checks.append(above(claim, 0.0, better["reward"] - noisy["reward"], error))
    return checks


def _end(row: Mapping, labels: str, predicted_se: float) -> Check:
    error, why = float(np.hypot(row["reward_se"], predicted_se)), "what a 1/t approach has left"
    claim = f"Pref-FT, {labels}: E R at the end"
    return interval(claim, row["predicted"], row["reward"], error, allowance=row["remaining"], why=why)


def _rows(table: Table) -> Iterator[dict]:
    for place in range(len(table)):
        yield {name: values[place] for name, values in table.columns.items()}
