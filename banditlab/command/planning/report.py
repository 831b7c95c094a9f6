"""What the label planner says: tables on the terminal, and the JSON record."""

import math

import numpy as np
from rich.table import Table as Grid

from banditlab.command.planning.data import PlanData
from banditlab.planner import Plan
from banditlab.terminal import Terminal

NAMES = {
    "data": "these data's pairs",
    "on_policy": "on-policy",
    "uniform": "uniform",
    "joint": "design, nodes",
    "triple": "design, pairs",
}
_SHOWN_PAIRS = 12
# Above this the next order of the expansion in 1/n is no longer small against the first.
_LARGE_KL = 0.1

EXISTENCE = {
    "exists": "the maximum-likelihood estimate exists and is unique (proved, Proposition 3)",
    "separable": "the comparisons are separable: there is no maximum-likelihood estimate",
    "undetermined": "no maximum-likelihood estimate is proved to exist: some direction is hardly compared, or "
    "answered one way only",
}


def notes(plan: Plan) -> list[str]:
    """What a reader of the numbers must know."""
    if plan.estimate == "none":
        return [
            "Without an estimate there are no label prices; --ridge gives an estimate, biased towards the reference.",
            "The next pairs come from a design that does not depend on the estimate: buy them and plan again.",
        ]
    lines = [
        "Plug-in: the estimate stands in for theta*. Bradley-Terry labels and a realizable reward are assumed; "
        "all KL are first-order predictions."
    ]
    if plan.existence != "exists":
        lines.append(
            "The ridge estimate is used where the unregularised one is not proved: no standard error is honest."
        )
    elif plan.estimate == "ridge":
        lines.append("The ridge's bias is in no standard error, and the ridge does not count as information.")
    if plan.assessment.predicted_kl > _LARGE_KL:
        lines.append("The predicted KL of the present fit is not small: read the numbers as orders of magnitude.")
    if plan.self_pairs.max() > 0:
        lines.append("self: share of labels on an action against itself; where those are skipped, prices fall by it.")
    return lines


def show(plan: Plan, given: PlanData, settings: dict[str, float]) -> None:
    """Print the report."""
    console = Terminal(lines=False)
    num_contexts, num_actions, num_features = plan.env.features.shape
    size = f"{num_contexts} contexts, up to {num_actions} actions, {num_features} features (rank {plan.env.rank})"
    console.print(f"{plan.num_comparisons:.0f} comparisons; {size}", soft_wrap=True)
    console.print(f"estimate: {plan.estimate}; {EXISTENCE[plan.existence]}", soft_wrap=True)
    if plan.estimate != "none":
        kl = _with_error(float(plan.assessment.predicted_kl), float(plan.assessment.predicted_kl_se))
        console.print(f"predicted KL(pi* || pi_hat) of the present fit: {kl}", soft_wrap=True)
    console.print(_sampler_grid(plan, settings))
    console.print(f"next {settings['next']} labels, {plan.rule}", soft_wrap=True)
    if plan.estimate != "none":
        reached = f"{plan.next_kl:.3g}, and no other {settings['next']} labels below {plan.next_kl_bound:.3g}"
        console.print(f"predicted KL after them: {reached}", soft_wrap=True)
    console.print(_pair_grid(plan, given))
    unread = [f"of --data nothing reads {', '.join(given.unread)}."] if given.unread else []
    for note in notes(plan) + unread:
        console.print(f"note: {note}", soft_wrap=True)


def record(plan: Plan) -> dict[str, object]:
    """The plan as JSON data; infinities become the text "inf"."""
    found = plan.assessment
    samplers = {
        name: {
            "leverage": plan.leverage[i],
            "self_pairs": plan.self_pairs[i],
            "label_price": found.price[i],
            "label_price_se": found.price_se[i],
            "labels_needed": found.labels_needed[i],
            "labels_needed_se": found.labels_needed_se[i],
            "kl_after_next": plan.kl_after[i],
        }
        for i, name in enumerate(plan.samplers)
    }
    return {
        "num_comparisons": plan.num_comparisons,
        "rank": plan.env.rank,
        "existence": plan.existence,
        "estimate": plan.estimate,
        "params": plan.params if plan.estimate != "none" else None,
        "predicted_kl": found.predicted_kl,
        "predicted_kl_se": found.predicted_kl_se,
        "samplers": samplers,
        "next_pairs": {"rule": plan.rule, "kl": plan.next_kl, "kl_lower_bound": plan.next_kl_bound},
        "notes": notes(plan),
    }


def _sampler_grid(plan: Plan, settings: dict[str, float]) -> Grid:
    headings = (
        "sampler",
        "self",
        "leverage",
        "label price",
        f"labels to KL {settings['kl']:g}",
        f"KL at +{settings['next']}",
    )
    grid = Grid(*headings[: 3 if plan.estimate == "none" else None])
    for row, name in enumerate(plan.samplers):
        cells = [NAMES[name], f"{plan.self_pairs[row]:.0%}", f"{plan.leverage[row]:.3g}"]
        if plan.estimate != "none":
            found = plan.assessment
            cells += [
                _with_error(float(found.price[row]), float(found.price_se[row])),
                _labels(float(found.labels_needed[row]), float(found.labels_needed_se[row])),
                f"{plan.kl_after[row]:.3g}",
            ]
        grid.add_row(*cells)
    return grid


def _pair_grid(plan: Plan, given: PlanData) -> Grid:
    grid = Grid("context", "action", "action", "labels")
    places = np.argwhere(plan.next_pairs)
    labels = plan.next_pairs[tuple(places.T)]
    order = np.argsort(-labels, kind="stable")
    for context, first, second in places[order[:_SHOWN_PAIRS]].tolist():
        names = given.action_ids[context]
        cells = given.context_ids[context], names[first], names[second], plan.next_pairs[context, first, second]
        grid.add_row(*map(str, cells))
    if len(places) > _SHOWN_PAIRS:
        grid.add_row("...", "", "", f"{labels[order[_SHOWN_PAIRS:]].sum()} on {len(places) - _SHOWN_PAIRS} more")
    return grid


def number(value: float, digits: int = 3) -> str:
    """``value`` with so many significant digits, in full from 100 to a million."""
    return f"{value:,.0f}" if 100 <= value < 1e6 else f"{value:.{digits}g}"


def _with_error(value: float, error: float) -> str:
    both = math.isfinite(value) and math.isfinite(error)
    error = 0.0 if error <= 2.0**-46 * abs(value) else error  # 64 roundings: of a constant
    return f"{number(value)} ± {number(error, 2)}" if both else number(value)


def _labels(value: float, error: float) -> str:
    if not math.isfinite(value):
        return "never"
    return f"{math.ceil(value):,} ± {error:,.0f}" if value > 0 and math.isfinite(error) else f"{math.ceil(value):,}"
