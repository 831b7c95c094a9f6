"""The checks of `null_test`."""

from banditlab.claims.checks import Check, identity, upper
from banditlab.store import Table
from experiments.partial_coverage.null_test.runs import BOUNDED, DESCENT, NEWTON


def check(table: Table) -> list[Check]:
    """The two agree to what the optimisers leave; a bound parts them where, and at least as far as, it must."""
    newton = table.where(kind=NEWTON)
    why = "Newton stops at a change of margin of 1e-5 in each fit; the error is of its square, over beta"
    claim = f"seen actions, worst of {newton['data_sets'][0]} data sets: DPO by Newton and RLHF, log-ratios apart"
    checks = [upper(claim, 0.0, newton["worst"][0], allowance=4e-10 / newton["beta"][0], why=why)]
    checks.append(
        identity(
            "span of log pi/pi_ref on the seen actions, DPO by Newton over RLHF, farthest from 1",
            1.0,
            newton["ratio"][0],
            why=f"{why}; the smallest span is {newton['span'][0]:.2g} in rewards",
            rtol=4e-10 / newton["span"][0],
        )
    )
    descent = table.where(kind=DESCENT)
    end = descent["setting"].argmax()
    why = f"rounding; what {descent['setting'][end]:.0f} steps leave, from the gradient there, is subtracted"
    claim = "all actions: DPO by gradient descent and RLHF, log-ratios apart beyond the remainder of descent"
    checks.append(upper(claim, 0.0, descent["excess"][end], allowance=1e-9, why=why))
    claim = "the largest remainder of descent after all steps"
    checks.append(upper(claim, 0.0, descent["remainder"][end], allowance=1e-3, why="what the last check can see"))
    bounded = table.where(kind=BOUNDED)
    for row in range(len(bounded)):
        claim = f"share of data sets that the bound {bounded['setting'][row]:g} parts: those with span > 2B"
        checks.append(identity(claim, bounded["expected"][row], bounded["parted"][row], why="no tolerance"))
    why = "the fit's suboptimality of 1e-9, in rewards, over beta"
    claim = "bounded: how far a log-ratio falls short of (span - 2B)/beta, at most"
    checks.append(upper(claim, 0.0, bounded["excess"].max(), allowance=1e-6, why=why))
    claim = "bounded: KL(pi||pi_ref) over 2B/beta, at most"
    checks.append(upper(claim, 1.0, bounded["ball"].max(), why="pi ∝ pi_ref e^{r/beta} has KL <= span(r)/beta"))
    return checks
