"""Standard errors of means and quantiles, against NumPy and against repeated draws."""

import numpy as np
import pytest

from banditlab.claims import statistics
from experiments.shared import shares

RNG = np.random.default_rng(0)


def test_a_mean_has_numpys_standard_error():
    values = RNG.exponential(size=50)
    found = statistics.mean("kl", values)
    assert found == {
        "kl": pytest.approx(np.mean(values), rel=1e-14),
        "kl_se": pytest.approx(np.sqrt(np.var(values, ddof=1) / 50), rel=1e-14),
    }


def test_the_standard_error_of_a_mean_is_the_deviation_of_repeated_means():
    """20,000 repetitions: the deviation itself is known to 0.5%, the mean of the errors (n = 400) to about 0.1%."""
    draws = RNG.exponential(size=(20_000, 400))
    errors = [statistics.mean("kl", row)["kl_se"] for row in draws[:2000]]
    assert np.mean(errors) == pytest.approx(draws.mean(axis=1).std(), rel=0.03)


@pytest.mark.parametrize("law", ["exponential", "normal", "uniform"])
def test_quantiles_and_their_standard_errors_are_those_of_repeated_draws(law):
    """Three binomial deviations reach into the curve of the quantile function: at n = 4000 that costs below a tenth."""
    draws = getattr(RNG, law)(size=(3000, 4000))
    rows = [statistics.quantiles("kl", row) for row in draws[:400]]
    for level, share in statistics.BAND.items():
        repeated = np.quantile(draws, share, axis=1)
        assert rows[0][f"kl_{level}"] == pytest.approx(np.quantile(draws[0], share), rel=1e-14)
        assert np.mean([row[f"kl_{level}_se"] for row in rows]) == pytest.approx(repeated.std(), rel=0.1)


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 1.0])
def test_a_share_of_known_probability_has_the_error_of_a_binomial(probability):
    row = shares.beside("misses", probability, 0.25, 400)
    deviation = RNG.binomial(400, probability, size=20_000).std() / 400
    assert (row["misses_exact"], row["misses"]) == (probability, 0.25)
    assert row["misses_se"] == pytest.approx(deviation, rel=0.03)  # its own error is about 0.6%
