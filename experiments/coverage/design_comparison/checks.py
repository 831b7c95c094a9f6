"""The checks of design_comparison, on its tables."""

import math

from banditlab.claims import Check, Table, above, below, identity, lower, upper
from experiments.coverage.design_comparison.ensemble import DESIGNS, NAMED, RIVALS

WINS, LOSES = "random features", "needle"  # where weighting by sigma' lowers, and where it raises, the price


def check(tables: dict[str, Table]) -> list[Check]:
    """Certificates and bounds in every lane; no design dominates; what weighting by sigma' does, both ways."""
    designs, leverage = tables["designs"], tables["leverage"]
    count = designs["num_instances"][0] + len(NAMED)
    claim = f"designs without their certificate, of {len(DESIGNS) + 1} x {count} solved in batches"
    checks = [upper(claim, 0.0, designs["uncertified"].sum())]
    claim = "log det of a design below that of one in a smaller set"
    checks.append(upper(claim, 0.0, designs["disordered"].sum(), why="d times the certified gap is allowed"))
    rounded = "six digits are kept; the certified gap is 1e-9"
    for name, largest in zip(leverage["design"], leverage["largest"], strict=True):
        claim = f"largest pair leverage over its bound (Proposition 6), {name}, worst instance"
        checks.append(upper(claim, 1.0, largest, allowance=1e-6, why=rounded))
        claim = f"2 tr(V* M^-1)/d, {name}, worst instance: the on-policy trace constant"
        checks.append(upper(claim, 1.0, designs.where(design=name)["trace"][0], allowance=1e-6, why=rounded))
    claim = "triple: max leverage = d (Kiefer-Wolfowitz), instance where it is least"
    checks.append(identity(claim, 1.0, leverage.where(design="triple")["least"][0], why=rounded, atol=1e-6))
    claim = "price of a design over the oracle's, least of all designs and instances"
    why = "the oracle's certified gap, and six digits kept"
    checks.append(lower(claim, 1.0, designs["least_price"].min(), allowance=2e-6, why=why))
    return checks + _price_checks(designs) + _round_checks(tables["rounds"])


def _price_checks(designs: Table) -> list[Check]:
    """One instance each way shows that neither of two designs is always the cheaper: prices are exact."""
    checks = []
    for name in ("triple", "conditional_pairs"):
        row = designs.where(design=name)
        count = row["num_instances"][0]
        cheaper = row["cheaper"][0] * count
        for first, second, found in ((name, RIVALS[name], cheaper), (RIVALS[name], name, count - cheaper)):
            claim = f"random instances, of {count}, where {first} has a smaller C_F than {second}: at least one"
            checks.append(lower(claim, 1.0, found, why="a count of exact prices"))
    row = designs.where(design="reweighted")
    error = 0.5 / math.sqrt(row["num_instances"][0])  # not the measured share's, which is zero where all agree
    claim = "share of instances where the sigma'-aware design has a smaller C_F than the triple design: most"
    return [*checks, above(claim, 0.5, row["cheaper"][0], error, why="binomial, of a share of 1/2")]


def _round_checks(rounds: Table) -> list[Check]:
    checks = []
    for instance, arm, better in (
        (WINS, "reweighted", True),
        (LOSES, "reweighted", False),
        (WINS, "plug_in_oracle", True),
    ):
        row, plain = (rounds.where(instance=instance, arm=name) for name in (arm, "design"))
        (bound, resolved, words) = (upper, below, "better") if better else (lower, above, "worse")
        claim = f"C_F of {arm} at pi* over the plain design's, {instance}: {words}"
        checks.append(bound(claim, 1.0, row["price"][0] / plain["price"][0], why="exact"))
        claim = f"mean KL of {arm} over the plain design's, {row['labels'][0]} labels, {instance}: {words}"
        checks.append(resolved(claim, 1.0, row["relative"][0], row["relative_se"][0]))
    for instance in NAMED:
        row = rounds.where(instance=instance, arm="plug_in_oracle")
        claim = f"mean KL of plug_in_oracle over the plain design's, {instance}: not worse"
        checks.append(upper(claim, 1.0, row["relative"][0], row["relative_se"][0]))
    return checks
