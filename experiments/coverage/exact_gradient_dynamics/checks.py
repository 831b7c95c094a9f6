"""The checks of exact_gradient_dynamics, on its tables."""

from collections.abc import Iterator, Mapping

import numpy as np

from banditlab.claims import Check, Table, interval, lower
from experiments.coverage.exact_gradient_dynamics.runs import INSTANCES


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The derived rate of every linear run, the derived constant of every quadratic one, and the exception."""
    checks = []
    for words, _, rows in _curves(tables["constant_step"]):
        if rows["rate"][0] > 0.01:
            checks.append(_linear_check(rows, words))
        else:
            claim = f"order of convergence with the best step, {words}: quadratic, not linear"
            checks.append(_superlinear_check(rows, claim))
    return checks + [
        _quadratic_check(rows, words, len(rewards)) for words, rewards, rows in _curves(tables["own_step"])
    ]


def _curves(table: Table) -> Iterator[tuple[str, tuple[float, ...], Table]]:
    """Words, rewards and rows of every sampler on every instance."""
    for instance, (rewards, _) in INSTANCES.items():
        for sampler in dict.fromkeys(table["sampler"].tolist()):
            yield f"{sampler}, {instance}", rewards, table.where(instance=instance, sampler=sampler)


def _linear_check(rows: Table, words: str) -> Check:
    """The two-step factor e_(k+2)/e_k against rho^2, at the step where its derived tolerance is smallest.

    The neglected terms are M r_k + r_(k+1), |r| <= bend e^2, M the linear step: |M| <= sqrt(3/2) rho between the
    differences of three numbers, its norm being rho between the numbers.
    """
    errors, rate, bend = rows["error"], rows["rate"][0], rows["bend"][0]
    neglected = 2 * bend * errors[:-2] * (1 + rate)
    rounding = 2 * rows["error_se"][:-2] / errors[:-2]
    place = int(np.argmin(np.where(errors[:-2] < 0.1, neglected + rounding, np.inf)))
    why = "terms of second order in two steps, derived, and rounding"
    claim = f"two-step factor of the error = rho^2 (linear convergence), {words}"
    measured = errors[place + 2] / errors[place]
    return interval(claim, rate**2, measured, 0.0, allowance=neglected[place] + rounding[place], why=why)


def _quadratic_check(rows: Table, words: str, num_actions: int) -> Check:
    """e_(k+1) over its quadratic prediction (2), at the step where the derived tolerance is smallest."""
    errors, images = rows["error"][:-1], rows["quadratic"][:-1]
    remainder = 2 * (num_actions - 1) / num_actions * (np.exp(errors) / 6 + 0.25) * errors**3
    tolerance = (remainder + rows["error_se"][:-1]) / images
    place = int(np.argmin(tolerance))
    claim = f"e_(k+1) over its quadratic prediction at e_k = {errors[place]:.0e}, {words}"
    why = "remainder of third order, derived, and rounding"
    return interval(claim, 1.0, rows["error"][place + 1] / images[place], 0.0, allowance=tolerance[place], why=why)


def _superlinear_check(rows: Table, claim: str) -> Check:
    """log e_(k+1) / log e_k of the last steps: with e_(k+1) <= b e_k^2 it is at least 2 - log b / |log e_k|."""
    errors = rows["error"]
    order = np.log(errors[-1]) / np.log(errors[-2])
    rounding = rows["error_se"][-1] / errors[-1]
    allowance = (np.log(rows["bend"][0]) + rounding) / abs(np.log(errors[-2]))
    return lower(claim, 2.0, order, allowance=allowance, why="the constant in e_(k+1) <= b e_k^2, derived; rounding")
