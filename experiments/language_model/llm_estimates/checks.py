"""The checks: estimates against exact values, and how little of the coverage a set of responses sees."""

from banditlab.claims.checks import Check, identity, interval, lower, upper
from banditlab.store import Table
from experiments.language_model.llm_estimates.runs import SAMPLED, TAIL


def check(table: Table) -> list[Check]:
    """Estimates against exact values, the law of the coverage estimate, closed forms of the corpus."""
    checks = []
    for name in ("kl", "reward", "reference_reward", "win_rate"):
        row = table.where(kind=SAMPLED, name=name)
        claim = f"{name} of {row['num_samples'][0]} sampled responses, against the tree"
        checks.append(interval(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    row = table.where(kind=SAMPLED, name="chi_squared")
    claim = "counts of matches by prompt against the tree: chi-squared a seed, mean"
    checks.append(upper(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    tail = table.where(kind=TAIL)
    last = tail.where(num_samples=tail["num_samples"].max())
    claim = f"coverage estimate over the exact value, N = {last['num_samples'][0]:.0e}, mean of sets"
    checks.append(interval(claim, 1.0, last["estimate"][0], last["estimate_se"][0]))
    checks += _tail_checks(tail)
    why = "rounding of sums over the responses"
    claim = "{} of the corpus's own table, against the closed form"
    for name in ("coverage", "optimum"):
        pair = float(table[f"closed_{name}"][0]), float(table[f"corpus_{name}"][0])
        checks.append(identity(claim.format(name), *pair, rtol=1e-8, why=why))
    share = float(table["reference_coverage"][0] / table["closed_coverage"][0])
    checks.append(lower("coverage of the pretrained references over the corpus's", 0.9, share, why=_CLOSE))
    return [*checks, upper("the same", 1.1, share, why=_CLOSE)]


_CLOSE = "what close to the corpus meant when the decoder was chosen"


def _tail_checks(tail: Table) -> list[Check]:
    """By Markov's inequality at most half of the sets exceed (1 - s)/(1/2 - N p): p and s of a full match."""
    checks = []
    for i, size in enumerate(tail["num_samples"]):
        seen = size * tail["top_prob"][i]
        if seen < 0.1:
            bound = float((1 - tail["top_share"][i]) / (0.5 - seen))
            claim = f"coverage estimate over the exact value, N = {size}, median, below Markov's bound"
            checks.append(upper(claim, bound, tail["ratio_median"][i]))
    return checks
