"""The predictions and the checks of `one_sided_data`."""

import math

import numpy as np
import pytest
from scipy.special import expit
from tables import committed, failing

from banditlab import one_sided
from banditlab.exact import one_sided_flow
from experiments.partial_coverage.one_sided_data import EXPERIMENT


@pytest.mark.parametrize(("beta", "critical"), [(0.1, 0.206), (0.3, 0.504), (0.5, 0.631), (0.9, 0.245)])
def test_the_critical_penalty_is_the_least_ratio_of_pull_and_push(beta, critical):
    gaps = np.linspace(0.01, 20.0, 200_001)
    ratio = beta * expit(-beta * gaps) / (gaps * expit(gaps) * expit(-gaps))
    assert one_sided.critical_penalty(beta) == pytest.approx(ratio.min(), rel=1e-8)
    assert ratio.min() == pytest.approx(critical, abs=5e-4)


def test_dpos_closed_form_solves_its_flow_and_grows_by_log_10_over_beta_a_decade():
    times = np.geomspace(0.1, 1e6, 40)
    for num_actions, beta in ((2, 0.3), (5, 1.5)):
        gaps = one_sided_flow.gaps(times, num_actions, beta, 0.0, 0.0)
        factor = num_actions / (num_actions - 1)
        np.testing.assert_allclose(beta * gaps + np.exp(beta * gaps), 1 + factor * beta**2 * times, rtol=1e-12)
        slope = (one_sided_flow.gaps(times * (1 + 1e-6), num_actions, beta, 0.0, 0.0) - gaps) / (times * 1e-6)
        np.testing.assert_allclose(slope, one_sided_flow.speed(gaps, num_actions, beta, 0.0, 0.0), rtol=1e-5)
    late = one_sided_flow.gaps(np.array([1e11, 1e12]), 2, 0.5, 0.0, 0.0)
    assert late[1] - late[0] == pytest.approx(math.log(10) / 0.5, rel=1e-8)


def test_integrated_flows_agree_with_the_closed_form_and_end_at_the_stationary_gap():
    times = np.geomspace(0.5, 1e5, 30)
    nearly = one_sided_flow.gaps(times, 2, 0.5, 1e-13, 0.0)
    np.testing.assert_allclose(nearly, one_sided_flow.gaps(times, 2, 0.5, 0.0, 0.0), rtol=1e-6)
    held = one_sided_flow.gaps(times, 2, 0.5, 0.66, 0.0)
    assert held[-1] == pytest.approx(one_sided.stationary_gap(0.66, 0.5), rel=1e-7)


def test_every_two_sided_check_would_see_five_percent():
    checks = EXPERIMENT.check(committed("one_sided_data"))
    for check in checks:
        if math.isfinite(check.low) and math.isfinite(check.high):
            assert check.power <= 0.05, check.claim
            assert not check.plant(0.05).passed, check.claim
            assert not check.plant(-0.05).passed, check.claim


def test_measurements_five_percent_off_fail_every_curve_and_every_critical_penalty():
    tables = committed("one_sided_data")
    curves, critical = tables["curves"], tables["critical"]
    for factor in (0.95, 1.05):
        claims = failing("one_sided_data", "curves", gap=curves["gap"] * factor)
        assert {claim.split(":")[0] for claim in claims} == set(tables["runs"]["name"].tolist())
        moved = {name: critical[name] * factor for name in ("escapes", "stops")}
        assert len(failing("one_sided_data", "critical", **moved)) == len(critical)
        # The KL is near its maximum log A wherever there is a claim about it.
        assert failing("one_sided_data", "curves", kl=curves["kl"] * factor)
