"""The checks of misspecification, on its table."""

import numpy as np

from banditlab.claims.checks import Check, interval
from banditlab.store import Table
from experiments.coverage.misspecification.runs import NOISES, SAMPLERS


def check(table: Table) -> list[Check]:
    checks = []
    for noise in NOISES:
        for sampler in SAMPLERS:
            rows = table.where(noise=noise, sampler=sampler)
            worst = int(np.argmax(np.abs(rows["kl"] - rows["predicted"]) / (4 * rows["kl_se"] + rows["remainder"])))
            claim = f"{noise}, {sampler}: KL(pi*||pi_K) at the pseudo-true policy, strength {rows['strength'][worst]:g}"
            claim += f" (the worst of {len(rows['kl'])})"
            checks.append(
                interval(
                    claim, rows["predicted"][worst], rows["kl"][worst], rows["kl_se"][worst],
                    allowance=rows["remainder"][worst], why="twice C_F(pi_0)/(2n): the statistical part",
                )
            )  # fmt: skip
    end = table.where(noise="flips", sampler="offline")
    end = end.where(strength=float(end["strength"].max()))
    claim = f"offline, {end['strength'][0]:g} flipped: n ||theta_hat - theta_dagger||^2 = tr(V A^-1 B A^-1)"
    return [*checks, interval(claim, end["sandwich"][0], end["spread"][0], end["spread_se"][0])]
