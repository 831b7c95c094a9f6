"""Every experiment through the command line at its smallest size: run, draw, and every shard reused the second time."""

import pytest

from experiments.framework import registry
from experiments.framework.commands import main

# The foundation's, and those that compile little, with every test run; the others with `make test-all`.
QUICK = (*registry.FAMILIES["foundation"], "reward_accuracy", "unseen_mass", "kl_directions", "llm_on_policy")
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in registry.names()]


@pytest.mark.parametrize("name", NAMES)
def test_the_smoke_preset_runs_draws_and_is_reused(name, tmp_path, capsys):
    command = [name, "--preset", "smoke", "--output", str(tmp_path)]
    assert main(["run", *command]) == 0
    assert main(["figures", *command]) == 0
    assert sorted(path.suffix for path in (tmp_path / "smoke").glob(f"{name}.*")) == [
        ".csv", ".json", ".pdf", ".png", ".svg",
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["run", *command]) == 0
    assert " 0 shards computed, " in capsys.readouterr().out
