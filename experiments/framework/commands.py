"""Run, draw and verify the experiments of banditlab."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from tyro.conf import Positional, arg
from tyro.extras import SubcommandApp

from experiments import CHECKOUT
from experiments.framework import registry
from experiments.framework.arguments import PRESETS, CommandLineError, one_of, require_writable
from experiments.framework.numerals import count, real

if TYPE_CHECKING:
    from experiments.framework.experiment import Experiment
    from experiments.framework.verification import Verdict

# The verbs import what they need themselves: `--help` answers without loading JAX.
Name = Annotated[str, one_of("NAME", registry.names)]
Preset = Annotated[str, one_of("--preset", lambda: PRESETS)]
RESULTS = CHECKOUT / "results"
STYLES = {"pass": "green", "FAIL": "bold red"}

app = SubcommandApp()


def main(arguments: list[str]) -> int:
    """Run one command line; 0 when all is well, 1 after a failure, 2 when it cannot be done as typed."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    try:
        return app.cli(args=arguments, prog="python -m experiments", description=__doc__)
    except CommandLineError as error:
        errors.print(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        errors.print("interrupted; finished shards are kept and will be reused")
        return 130


@app.command(name="list")
def list_experiments() -> int:
    """List the experiments: name, family, claim."""
    for experiment in _load(()):
        presets = ", ".join(experiment.presets)
        _print(f"{experiment.name} ({experiment.family}; {presets}): {experiment.claim}")
    return 0


@app.command
def run(
    names: Positional[tuple[Name, ...]] = (),
    preset: Preset = "default",
    output: Path = RESULTS,
    fresh: bool = False,
) -> int:
    """Run experiments and save their tables.

    Args:
      names: Experiments to run; all when none is named.
      preset: Size of the run.
      output: Folder for tables, records and shards.
      fresh: Compute every shard again.
    """
    require_writable("--output", output)
    experiments = _load(names)
    from experiments.framework.running import run_all

    for line in run_all(experiments, preset, output, fresh=fresh):
        _print(line)
    return 0


@app.command
def figures(
    names: Positional[tuple[Name, ...]] = (),
    preset: Preset = "default",
    output: Path = RESULTS,
    update: bool = False,
) -> int:
    """Draw figures from saved tables.

    Args:
      names: Experiments to draw; all when none is named.
      preset: Which results to draw.
      output: Folder that `run` wrote to.
      update: Also replace the committed tables and figures by these.
    """
    require_writable("--output", output)
    experiments = _load(names)
    from experiments.framework import drawing

    for experiment in experiments:
        result = drawing.draw(experiment, preset, output)
        _print(f"{experiment.name}: drawn -> {result.file('.png')}")
        if update:
            _print(drawing.update(experiment, preset, result))
    return 0


@app.command
def verify(names: Positional[tuple[Name, ...]] = (), preset: Preset = "default", output: Path = RESULTS) -> int:
    """Check claims against saved tables, and those against the committed ones.

    Args:
      names: Experiments to verify; all when none is named.
      preset: Which results to verify.
      output: Folder that `run` wrote to.
    """
    experiments = _load(names)
    from experiments.framework.verification import verify as verdicts

    return _report(verdict for experiment in experiments for verdict in verdicts(experiment, preset, output))


@app.command
def confirm(
    name: Positional[Name],
    preset: Preset = "default",
    arms: Annotated[int, count("--arms", 1_000_000)] = 2,
    output: Path = RESULTS,
) -> int:
    """Compute a sample of a committed table's shards again, and note in its record that they are equal.

    Args:
      name: Experiment to confirm.
      preset: Which committed table to confirm.
      arms: Number of shards to compute.
      output: Folder that `run` wrote to; its shards stand in for those not computed.
    """
    (experiment,) = _load((name,))
    from experiments.framework.confirmation import confirm as sampled

    return _report([sampled(experiment, preset, output, arms=arms)])


@app.command
def status(output: Path = RESULTS) -> int:
    """Say which results exist, and whether they are those of the present sources.

    Args:
      output: Folder that `run` wrote to.
    """
    experiments = _load(())
    from experiments.framework.verification import state

    for experiment in experiments:
        for preset in PRESETS:
            _print(f"{experiment.name} [{preset}]: {state(experiment, preset, output)}")
    return 0


@app.command
def show(name: Positional[Name], preset: Preset = "default", output: Path = RESULTS) -> int:
    """Show a saved table and its checks.

    Args:
      name: Experiment to show.
      preset: Which results to show.
      output: Folder that `run` wrote to.
    """
    (experiment,) = _load((name,))
    from experiments.framework.summary import show as table_summary
    from experiments.framework.verification import checks

    return _report(checks(experiment, preset, table_summary(experiment, preset, output)))


@app.command
def plan(
    data: Path,
    features: Path | None = None,
    kl: Annotated[float, real("--kl")] = 0.01,
    num_next: Annotated[int, count("--next", 1_000_000), arg(name="next")] = 100,
    beta: Annotated[float, real("--beta")] = 1.0,
    ridge: Annotated[float, real("--ridge", zero=True)] = 0.0,
    out: Path = RESULTS / "plan",
) -> int:
    """Plan labels for your own comparisons: what they are worth, how many more are needed, which to buy next.

    Prints the existence certificate, the label price of the data's pairs against on-policy, uniform and designed
    pairs, and the labels needed; writes plan.csv (the next pairs), plan.json and plan.png, .svg, .pdf. To see one:
    python -m experiments plan --data docs/example_comparisons.npz

    Args:
      data: FILE.npz with arrays features (S, A, d), context, chosen, rejected (n,) of indices and, optionally,
        log_reference (S, A) and context_probs (S,); or a CSV with a header and the columns context, chosen, rejected:
        one comparison a row, ids of any kind (other columns are ignored).
      features: With a CSV: another one with the columns context, action, optionally log_reference and context_prob,
        and one column for every feature. Contexts may differ in their actions. Log-probabilities are normalised.
      kl: The E_x KL(pi* || pi_hat) wanted.
      num_next: Labels to buy next.
      beta: KL temperature of the policy class.
      ridge: Weight of (ridge/2) |theta|^2 beside the sum of losses; 0 for maximum likelihood.
      out: Folder for the files.
    """
    _configure()
    from experiments.framework import planning

    for path in planning.run(data, features, kl=kl, num_next=num_next, beta=beta, ridge=ridge, output=out):
        _print(str(path))
    return 0


@app.command
def doctor(output: Path = RESULTS) -> int:
    """Check the installation: Python, packages against the lock, device, folders.

    Args:
      output: Folder that `run` is to write to.
    """
    _configure()
    from experiments.framework.doctor import examine

    return _report(examine(output))


def _load(names: tuple[str, ...]) -> "list[Experiment]":
    _configure()
    return registry.load_all(names)


def _configure() -> None:
    from experiments.framework.session import configure

    try:
        configure()
    except ValueError as error:
        raise CommandLineError(str(error)) from error


def _report(verdicts: "Iterable[Verdict]") -> int:
    counts = {"pass": 0, "FAIL": 0}
    for verdict in verdicts:
        counts[verdict.word] = counts.get(verdict.word, 0) + 1
        _print(verdict.text, verdict.word)
    passed, failed = counts.pop("pass"), counts.pop("FAIL")
    _print(", ".join([f"{passed} passed, {failed} failed", *(f"{count} {word}" for word, count in counts.items())]))
    return 1 if failed or not passed else 0


def _print(text: str, word: str = "") -> None:
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if word:
        console.print(word, style=STYLES.get(word, "yellow"), end="  ")
    console.print(text)
