"""The checks of design_comparison, on its table."""

from banditlab.claims.checks import Check, identity, lower, upper
from banditlab.store import Table
from experiments.coverage.design_comparison.ensemble import DESIGNS, ENSEMBLE, LEVERAGE, NAMED, RIVALS, ROUNDS

WINS, LOSES = "random features", "needle"  # where weighting by sigma' lowers, and where it raises, the price

_TELLING = 1000  # seeds that tell the two apart by four standard errors


def check(table: Table) -> list[Check]:
    """Certificates and bounds in every lane; no design dominates; what weighting by sigma' does, both ways."""
    checks = []
    designs = table.where(kind=ENSEMBLE)
    count = designs["seeds"][0] + len(NAMED)
    claim = f"designs without their certificate, of {len(DESIGNS) + 1} x {count} solved in batches"
    checks.append(upper(claim, 0.0, designs["uncertified"].sum()))
    claim = "log det of a design below that of one in a smaller set"
    checks.append(upper(claim, 0.0, designs["disordered"].sum(), why="d times the certified gap is allowed"))
    rounded = "six digits are kept; the certified gap is 1e-9"
    for name in LEVERAGE:
        row = designs.where(name=name)
        claim = f"largest pair leverage over its bound (Proposition 6), {name}, worst instance"
        checks.append(upper(claim, 1.0, row["leverage"][0], allowance=1e-6, why=rounded))
        claim = f"2 tr(V* M^-1)/d, {name}, worst instance: the on-policy trace constant"
        checks.append(upper(claim, 1.0, row["trace"][0], allowance=1e-6, why=rounded))
    least = designs.where(name="triple")["least_leverage"][0]
    claim = "triple: max leverage = d (Kiefer-Wolfowitz), instance where it is least"
    checks.append(identity(claim, 1.0, least, why=rounded, atol=1e-6))
    claim = "price of a design over the oracle's, least of all designs and instances"
    why = "the oracle's certified gap, and six digits kept"
    checks.append(lower(claim, 1.0, designs["least_price"].min(), allowance=2e-6, why=why))
    return checks + _price_checks(designs) + _round_checks(table)


def _price_checks(designs: Table) -> list[Check]:
    """One instance each way shows that neither of two designs is always the cheaper: prices are exact."""
    checks = []
    for name in ("triple", "conditional_pairs"):
        row = designs.where(name=name)
        cheaper = row["cheaper"][0] * row["seeds"][0]
        for first, second, count in ((name, RIVALS[name], cheaper), (RIVALS[name], name, row["seeds"][0] - cheaper)):
            claim = (
                f"random instances, of {row['seeds'][0]}, where {first} has a smaller C_F than {second}: at least one"
            )
            checks.append(lower(claim, 1.0, count, why="a count of exact prices"))
    share, error = (designs.where(name="reweighted")[column][0] for column in ("cheaper", "cheaper_se"))
    claim = "share of instances where the sigma'-aware design has a smaller C_F than the triple design: most"
    return [*checks, lower(claim, 0.5, share - 4 * error, why="less four binomial standard errors")]


def _round_checks(table: Table) -> list[Check]:
    checks = []
    for instance, arm, better in (
        (WINS, "reweighted", True),
        (LOSES, "reweighted", False),
        (WINS, "plug_in_oracle", True),
    ):
        row, plain = (table.where(kind=ROUNDS, instance=instance, name=name) for name in (arm, "design"))
        bound, words = (upper, "better") if better else (lower, "worse")
        claim = f"C_F of {arm} at pi* over the plain design's, {instance}: {words}"
        checks.append(bound(claim, 1.0, row["price"][0] / plain["price"][0], why="exact"))
        # Enough seeds show which is the better; fewer can only contradict it.
        margin = (4 if row["seeds"][0] >= _TELLING else -4) * row["relative_se"][0]
        value = row["relative"][0] + (margin if better else -margin)
        claim = f"mean KL of {arm} over the plain design's, {row['labels'][0]} labels, {instance}: {words}"
        checks.append(bound(claim, 1.0, value, why="measured, four standard errors included"))
    for instance in NAMED:
        row = table.where(kind=ROUNDS, instance=instance, name="plug_in_oracle")
        claim = f"mean KL of plug_in_oracle over the plain design's, {instance}: not worse"
        checks.append(upper(claim, 1.0, row["relative"][0], row["relative_se"][0]))
    return checks
