"""Every experiment through the command line at its smallest size: run, draw, and every shard reused the second time."""

import pytest
from reach import recorded, uncovered

from banditlab.claims import registry
from banditlab.command import main

# The foundation's, those that compile little and the language model's, with every test run; others by `make test-all`.
FAMILIES = registry.families()
QUICK = (*FAMILIES["foundation"], "reward_accuracy", "unseen_mass", "kl_directions")
# In one folder, where they share references and training runs.
TOGETHER = FAMILIES["language_model"]
ALONE = [name for name in registry.names() if name not in TOGETHER]
GROUPS = [pytest.param([name], marks=() if name in QUICK else pytest.mark.slow, id=name) for name in ALONE]


@pytest.mark.parametrize("names", [*GROUPS, pytest.param(list(TOGETHER), id="language_model")])
def test_the_smoke_preset_runs_draws_and_is_reused(names, tmp_path, capsys):
    command = [*names, "--preset", "smoke", "--output", str(tmp_path)]
    with recorded() as entered:
        assert main(["run", *command]) == 0
    # An independent way to what the results depend on: whatever ran is covered by the hash.
    assert uncovered(entered, [registry.load(name) for name in names]) == set()
    assert main(["figures", *command]) == 0
    for name in names:
        assert {path.suffix for path in (tmp_path / "smoke").glob(f"{name}.*")} == {
            ".csv", ".json", ".pdf", ".png", ".svg",
        }  # fmt: skip
    capsys.readouterr()
    assert main(["run", *command]) == 0
    assert capsys.readouterr().out.count(" 0 shards computed, ") == len(names)
