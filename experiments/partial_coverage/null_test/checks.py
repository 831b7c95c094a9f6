"""The checks of `null_test`."""

from banditlab.claims import Check, Table, identity, upper


def check(tables: dict[str, Table]) -> list[Check]:
    """The two agree to what the optimisers leave; a bound parts them where, and at least as far as, it must."""
    newton = {name: values[0] for name, values in tables["newton"].columns.items()}
    why = "Newton stops at a change of margin of 1e-5 in each fit; the error is of its square, over beta"
    claim = f"seen actions, worst of {newton['data_sets']} data sets: DPO by Newton and RLHF, log-ratios apart"
    checks = [upper(claim, 0.0, newton["worst"], allowance=4e-10 / newton["beta"], why=why)]
    claim = "span of log pi/pi_ref on the seen actions, DPO by Newton over RLHF, farthest from 1"
    smallest = f"{why}; the smallest span is {newton['span']:.2g} in rewards"
    checks.append(identity(claim, 1.0, newton["ratio"], why=smallest, rtol=4e-10 / newton["span"]))
    descent, bounded = tables["descent"], tables["bounded"]
    end = descent["steps"].argmax()
    why = f"rounding; what {descent['steps'][end]:.0f} steps leave, from the gradient there, is subtracted"
    claim = "all actions: DPO by gradient descent and RLHF, log-ratios apart beyond the remainder of descent"
    checks.append(upper(claim, 0.0, descent["excess"][end], allowance=1e-9, why=why))
    claim = "the largest remainder of descent after all steps"
    checks.append(upper(claim, 0.0, descent["remainder"][end], allowance=1e-3, why="what the last check can see"))
    for bound, expected, parted in zip(*(bounded[name] for name in ("bound", "expected", "parted")), strict=True):
        claim = f"share of data sets that the bound {bound:g} parts: those with span > 2B"
        checks.append(identity(claim, expected, parted, why="no tolerance"))
    why = "the fit's suboptimality of 1e-9, in rewards, over beta"
    claim = "bounded: how far a log-ratio falls short of (span - 2B)/beta, at most"
    checks.append(upper(claim, 0.0, bounded["shortfall"].max(), allowance=1e-6, why=why))
    claim, why = "bounded: KL(pi||pi_ref) over 2B/beta, at most", "pi ∝ pi_ref e^{r/beta} has KL <= span(r)/beta"
    return [*checks, upper(claim, 1.0, bounded["ball"].max(), why=why)]
