"""Fields of a configuration set from text: typed from the dataclass, and seen in the table and its predictions."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import banditlab as bl
from banditlab import claims as bl_claims
from banditlab.claims import Instance, registry
from banditlab.claims.selection import select
from banditlab.claims.settings import changed, spelled


@dataclass(frozen=True)
class Inner:
    noise: float = 0.5


@dataclass(frozen=True)
class Config:
    num_seeds: int = 4
    step: float = 0.5
    exact: bool = False
    name: str = "a"
    limit: float | None = None
    sizes: tuple[int, ...] = (1, 2)
    span: tuple[float, float] = (0.0, 1.0)
    setup: Inner = field(default_factory=Inner)
    instance: Instance | None = None


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("num_seeds", "4096", 4096),
        ("step", "2", 2.0),
        ("step", "inf", float("inf")),
        ("step", "1e-3", 1e-3),
        ("exact", "True", True),
        ("name", "on policy", "on policy"),
        ("limit", "None", None),
        ("limit", "3", 3.0),
        ("sizes", "[3]", (3,)),
        ("sizes", "(3, 4, 5)", (3, 4, 5)),
        ("span", "[0.02,0.1]", (0.02, 0.1)),
        ("setup.noise", "1", Inner(1.0)),
        ("instance", "chain(target=2)", Instance("chain", {"target": 2})),
        ("instance", "None", None),
    ],
)
def test_a_text_becomes_a_value_of_the_field(name, text, value):
    found = getattr(changed(Config(), {name: text}), name.split(".")[0])
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("num_seed", "3", "there is no such field; did you mean 'num_seeds'"),
        ("zebra", "3", r"there is no such field; fields: num_seeds \(int\), step \(float\)"),
        ("setup.nose", "3", "setup.nose: there is no such field; did you mean 'noise'"),
        ("step.size", "3", "step.size: there is no such field"),
        ("num_seeds", "3.0", "num_seeds must be int; got '3.0'"),
        ("num_seeds", "True", "num_seeds must be int; got 'True'"),
        ("num_seeds", "[" * 500, "num_seeds must be int"),
        ("step", "fast", "step must be float; got 'fast'"),
        ("step", "nan", "step must be float; got 'nan'"),
        ("sizes", "3", r"sizes must be tuple\[int, ...\]; got '3'"),
        ("sizes", "[1, 2.5]", "sizes must be tuple"),
        ("span", "[1]", r"span must be .*2 values are wanted"),
        ("instance", "zebra()", r"instance must be an instance; got .zebra\(\). \(instances are chain, staircase"),
        ("instance", "chain(3)", "chain takes numbers by keyword: target, start, beta"),
        ("instance", "chain(goal=3)", "chain takes numbers by keyword"),
        ("instance", "chain(target='2')", "chain takes numbers by keyword"),
        ("instance", "__import__('os').system('false')", "a call such as staircase"),
        ("instance", "tabular(reward=1)", "instances are"),
        ("instance", "no.npz", "the file cannot be read: No such file"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, text, message):
    with pytest.raises(ValueError, match=f"^--set .*{message}"):
        changed(Config(), {name: text})


def test_an_instance_is_the_librarys_or_a_saved_one(tmp_path):
    made = Instance.parse("random_features(num_contexts=2, num_actions=3, num_features=2, seed=3)").environment()
    same = bl.instances.random_features(num_contexts=2, num_actions=3, num_features=2, seed=3)
    np.testing.assert_array_equal(made.features, same.features)
    path = tmp_path / "own.npz"
    bl.instances.chain(target=2.0).save(path)
    chosen = Instance.parse(str(path))
    assert float(chosen.environment().target_params[0]) == 2.0
    bl.instances.chain(target=3.0).save(path)
    assert Instance.parse(str(path)) != chosen
    with pytest.raises(ValueError, match="instance must be the file that was chosen"):
        chosen.environment()


@pytest.mark.parametrize(
    ("claim", "settings", "message"),
    [
        ("staircase", {"num_pairs": "0"}, "num_pairs must be at least 1; got 0"),
        ("staircase", {"large_pairs": "-1"}, "large_pairs must be positive; got -1"),
        ("staircase", {"beta": "0"}, "beta must be positive; got 0"),
        ("staircase", {"ridge": "-1"}, "ridge must be at least 0; got -1"),
        ("staircase", {"step": "inf"}, "step must be finite; got inf"),
        ("label_scaling", {"betas": "(0, 1)"}, r"betas must be positive; got \[0,1\]"),
        ("label_scaling", {"betas": "()"}, r"betas must be a list that is not empty; got \[\]"),
        ("label_scaling", {"seed": "-1"}, "seed must be at least 0; got -1"),
        ("label_scaling", {"instance": "chain()", "reward": "2"}, "reward has no effect beside instance, which"),
        ("staircase", {"instance": "chain()", "beta": "2"}, "beta has no effect beside instance, which replaces it"),
        ("staircase", {"instance": "staircase(num_stairs=0)"}, "is no environment: num_stairs must be a whole number"),
    ],
)
def test_a_value_that_nothing_can_be_computed_with_is_refused_by_name(claim, settings, message):
    (experiment,) = registry.load_all([claim])
    with pytest.raises(ValueError, match=f"^--set .*{message}"):
        select(experiment, "default", settings)


def test_a_configuration_has_one_spelling_that_reads_back():
    settings = {"sizes": "(3, 4)", "step": "1.20", "setup.noise": "1e0", "num_seeds": "4", "instance": "chain(start=2)"}
    config = changed(Config(), settings)
    texts = spelled(config, Config(), settings)
    assert list(texts.items()) == [
        ("step", "1.2"),
        ("sizes", "[3,4]"),
        ("setup.noise", "1"),
        ("instance", "chain(start=2)"),
    ]
    assert changed(Config(), texts) == config


def test_a_claim_of_ones_own_runs_from_the_wheel_alone(tmp_path):
    """Built, unpacked and run where neither this checkout nor its claims are."""
    checkout = Path(__file__).parents[1]
    command = [sys.executable, "-m", "flit_core.wheel", "--outdir", str(tmp_path), str(checkout)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "site", format="zip")
    (tmp_path / "mine").mkdir()
    shutil.copy(checkout / "docs" / "example_claim.py", tmp_path / "mine")

    def banditlab(*words):
        # Isolated: the packages of this environment but for banditlab, which comes from the wheel.
        start = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from banditlab.command import main"
        return subprocess.run(
            [sys.executable, "-I", "-c", f"{start}; sys.exit(main(sys.argv[1:]))", *words],
            cwd=tmp_path / "mine",
            env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )

    listed = banditlab("list")
    assert "no claims are registered" in listed.stdout, listed.stderr
    small = ("example_claim.py", "--set", "num_labels=400", "--set", "num_seeds=2000")
    for verb in ("run", "figures", "verify"):
        done = banditlab(verb, *small)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "n times the mean KL: predicted 1, measured " in done.stdout
    (folder,) = (tmp_path / "mine" / "results").glob("default+*")
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv", ".json", ".pdf", ".png", ".tex"]
    assert list((tmp_path / "cache" / "banditlab" / "jax").iterdir())


def test_a_claim_is_evaluated_from_python(tmp_path):
    found = bl_claims.evaluate("exact_gradient_dynamics", "smoke", output=tmp_path, num_steps=12)
    assert found.record["config"]["num_steps"] == 12
    assert found.checks
    assert found.selection.fresh.file(".json").is_file()
    with pytest.raises(ValueError, match="claim: NAME 'staircas' is not known; did you mean 'staircase'"):
        bl_claims.evaluate("staircas")
    with pytest.raises(ValueError, match="claim must name one claim; got 'foundation', a family"):
        bl_claims.evaluate("foundation")
    with pytest.raises(ValueError, match="--set zebra: there is no such field"):
        bl_claims.evaluate("staircase", "smoke", output=tmp_path, zebra=3)
    with pytest.raises(ValueError, match="--preset must be one of smoke, default, paper for staircase"):
        bl_claims.evaluate("staircase", "small")
