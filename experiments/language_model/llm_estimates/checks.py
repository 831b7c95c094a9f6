"""The checks: estimates against exact values, and how little of the coverage a set of responses sees."""

from collections.abc import Mapping

from banditlab.claims import Check, Table, identity, interval, lower, upper


def check(parts: Mapping[str, Table]) -> list[Check]:
    """Estimates against exact values, the law of the coverage estimate, closed forms of the corpus."""
    reference, sampled, sets = (parts[name] for name in ("reference", "sampled", "sets"))
    checks = []
    for name in ("kl", "reward", "reference_reward", "win_rate"):
        row = sampled.where(quantity=name)
        claim = f"{name} of {row['num_samples'][0]} sampled responses, against the tree"
        checks.append(interval(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    row = sampled.where(quantity="chi_squared")
    claim = "counts of matches by prompt against the tree: chi-squared a seed, mean"
    checks.append(upper(claim, row["exact"][0], row["estimate"][0], row["estimate_se"][0]))
    last = sets.where(num_samples=sets["num_samples"].max())
    claim = f"coverage estimate over the exact value, N = {last['num_samples'][0]:.0e}, mean of sets"
    checks.append(interval(claim, 1.0, last["ratio"][0], last["ratio_se"][0]))
    # By Markov's inequality at most half of the sets exceed (1 - s)/(1/2 - N p): p and s of a full match.
    for size, median in zip(sets["num_samples"], sets["ratio_median"], strict=True):
        seen = size * reference["top_prob"][0]
        if seen < 0.1:
            bound = float((1 - reference["top_share"][0]) / (0.5 - seen))
            claim = f"coverage estimate over the exact value, N = {size}, median, below Markov's bound"
            checks.append(upper(claim, bound, median))
    why = "rounding of sums over the responses"
    for name in ("coverage", "optimum"):
        pair = float(reference[f"closed_{name}"][0]), float(reference[f"corpus_{name}"][0])
        checks.append(identity(f"{name} of the corpus's own table, against the closed form", *pair, rtol=1e-8, why=why))
    share = float(reference["coverage"][0] / reference["closed_coverage"][0])
    close = "what close to the corpus meant when the decoder was chosen"
    checks.append(lower("coverage of the pretrained references over the corpus's", 0.9, share, why=close))
    return [*checks, upper("the same", 1.1, share, why=close)]
