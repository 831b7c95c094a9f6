"""The verbs of the command. They import what they need themselves, when they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg
from tyro.extras import SubcommandApp

from banditlab.command.arguments import one_of, place, real, whole
from banditlab.command.choosing import NONE, configure, load, selections
from banditlab.command.parsing import deferred
from banditlab.command.reporting import report, say
from banditlab.errors import CommandLineError, require_writable

Name = Annotated[Positional[str], arg(metavar="NAME")]
Names = Annotated[Positional[tuple[str, ...]], arg(metavar="[NAME ...]")]
Folder = Annotated[Path | None, place("--output")]
Preset = Annotated[str, one_of("--preset", ("smoke", "default", "paper"))]
Sets = Annotated[UseAppendAction[tuple[str, ...]], arg(name="set", metavar="FIELD=VALUE")]

app = SubcommandApp()


@app.command(name="list")
@deferred
def list_claims(names: Names = ()) -> int:
    """List the claims by family: name, seconds of the committed computation, claim.

    Args:
      names: Claims whose fields to list, with their values at every preset; `--set` sets them.
    """
    experiments = load(names)
    if not experiments:
        say(NONE)
        return 0
    from banditlab.claims.selection import select
    from banditlab.claims.summary import fields, listing

    if names:
        for one in experiments:
            fields(one)
        return 0
    kept = {one.name: select(one).committed() for one in experiments}
    costs = {name: result.record().get("cost") for name, result in kept.items() if result and result.damage() is None}
    listing(experiments, {name: cost["wall_seconds"] for name, cost in costs.items() if cost})
    return 0


@app.command
@deferred
def run(
    names: Names = (),
    preset: Preset = "default",
    sets: Sets = (),
    output: Folder = None,
    fresh: bool = False,
) -> int:
    """Run experiments and save their tables.

    Args:
      names: Claims to run: names, families, files or modules; all registered ones when none is named.
      preset: Size of the run.
      sets: Field of the configuration to set, as often as wanted.
      output: Folder for tables, records and shards; by default `results` beside the claim.
      fresh: Compute every shard again.
    """
    chosen = selections(names, preset, sets, output)
    for folder in {one.results for one in chosen}:
        require_writable("--output", folder)
    from banditlab.claims.running import run_all

    for line in run_all(chosen, fresh=fresh):
        say(line)
    return 0


@app.command
@deferred
def figures(
    names: Names = (),
    preset: Preset = "default",
    sets: Sets = (),
    output: Folder = None,
    update: bool = False,
    committed: bool = False,
    svg: bool = False,
    no_caption: bool = False,
    draft: bool = False,
) -> int:
    """Draw figures from saved tables: a PNG with its caption, a PDF without, and the caption in LaTeX.

    What is drawn is measured: a figure with texts that overlap, marks that no legend explains, or colours that are
    hard to tell apart is refused in one line.

    Args:
      names: Claims to draw; all registered ones when none is named.
      preset: Which results to draw.
      sets: Field of the configuration that was set.
      output: Folder that `run` wrote to; with --committed, the folder to draw into.
      update: Also replace the committed tables and figures by these, or renew the stamp where the tables are the same.
      committed: Draw from the committed tables instead, outdated ones too.
      svg: Also draw an SVG.
      no_caption: Leave the caption out of the PNG, too.
      draft: Draw figures with faults, too, and say all of these.
    """
    chosen = selections(names, preset, sets, output)
    from banditlab.claims.drawing import Manner
    from banditlab.command.figures import draw_all, require_alone

    manner = Manner(svg=svg, with_caption=not no_caption, draft=draft)
    require_alone(manner, committed=committed, update=update, elsewhere=output is not None)
    return draw_all(chosen, manner, committed=committed, update=update)


@app.command
@deferred
def verify(names: Names = (), preset: Preset = "default", sets: Sets = (), output: Folder = None) -> int:
    """Check claims against saved tables, and those against the committed ones; nothing is written.

    Args:
      names: Claims to verify; all registered ones when none is named.
      preset: Which results to verify.
      sets: Field of the configuration that was set.
      output: Folder that `run` wrote to.
    """
    from banditlab.claims.verification import verify as verdicts

    return report(verdict for one in selections(names, preset, sets, output) for verdict in verdicts(one))


@app.command
@deferred
def confirm(
    names: Names,
    preset: Preset = "default",
    arms: Annotated[int, whole("--arms", largest=1_000_000)] = 2,
    output: Folder = None,
) -> int:
    """Compute a sample of the committed tables' shards again, and note in the records that they are equal.

    Args:
      names: Claims to confirm.
      preset: Which committed tables to confirm.
      arms: Number of shards to compute.
      output: Folder that `run` wrote to; its shards stand in for those not computed.
    """
    from banditlab.claims.confirmation import confirm as sampled

    if not names:
        raise CommandLineError("NAME must say what to confirm")
    return report(sampled(one, arms=arms) for one in selections(names, preset, (), output))


@app.command
@deferred
def status(names: Names = (), preset: Preset = "default", sets: Sets = (), output: Folder = None) -> int:
    """Say which results exist, and which are not those of the present sources.

    Args:
      names: Claims to look at; all registered ones when none is named.
      preset: Which results to look at.
      sets: Field of the configuration that was set.
      output: Folder that `run` wrote to.
    """
    from banditlab.claims.summary import status as screen

    screen(selections(names, preset, sets, output))
    return 0


@app.command
@deferred
def show(name: Name, preset: Preset = "default", sets: Sets = (), output: Folder = None) -> int:
    """Show a saved table: its checks, its failures, its first rows.

    Args:
      name: Claim to show.
      preset: Which results to show.
      sets: Field of the configuration that was set.
      output: Folder that `run` wrote to.
    """
    chosen = selections((name,), preset, sets, output)
    if len(chosen) != 1:
        raise CommandLineError(f"NAME must be one claim; {name} has {', '.join(one.experiment.name for one in chosen)}")
    from banditlab.claims.summary import show as verdicts

    return report(verdicts(chosen[0]))


@app.command
@deferred
def plan(
    data: Annotated[Path, place("--data", kind="FILE")],
    features: Annotated[Path | None, place("--features", kind="FILE")] = None,
    kl: Annotated[float, real("--kl", positive=True)] = 0.01,
    num_next: Annotated[int, whole("--next", largest=1_000_000), arg(name="next")] = 100,
    beta: Annotated[float, real("--beta", positive=True)] = 1.0,
    ridge: Annotated[float, real("--ridge", zero=True)] = 0.0,
    out: Annotated[Path, place("--out")] = Path("results") / "plan",
) -> int:
    """Plan labels for your own comparisons: what they are worth, how many more are needed, which to buy next.

    Prints the existence certificate, the label price of the data's pairs against on-policy, uniform and designed
    pairs, and the labels needed; writes plan.csv (the next pairs), plan.json and plan.png, .pdf, .tex. An id that a
    spreadsheet would take for a formula has an apostrophe before it in plan.csv. To see a plan:
    python -m experiments plan --data docs/example_comparisons.npz

    Args:
      data: FILE.npz with arrays features (S, A, d), context, chosen, rejected (n,) of indices and, optionally,
        log_reference (S, A) and context_probs (S,); or a CSV with a header and the columns context, chosen, rejected:
        one comparison a row, ids of any kind. Other columns are ignored, but for those that would change what a row
        means, such as count, weight, tie or winner: these are refused.
      features: With a CSV: another one with the columns context, action, optionally log_reference and context_prob,
        and one column for every feature. Contexts may differ in their actions. Log-probabilities are normalised.
      kl: The E_x KL(pi* || pi_hat) wanted.
      num_next: Labels to buy next.
      beta: KL temperature of the policy class.
      ridge: Weight of (ridge/2) |theta|^2 beside the sum of losses; 0 for maximum likelihood.
      out: Folder for the files.
    """
    configure()
    from banditlab.command.planning import running

    for path in running.run(data, features, kl=kl, num_next=num_next, beta=beta, ridge=ridge, output=out):
        say(str(path))
    return 0


@app.command
@deferred
def doctor(output: Annotated[Path, place("--output")] = Path("results")) -> int:
    """Check the installation: Python, packages against the lock, device, folders.

    Args:
      output: Folder that `run` is to write to.
    """
    configure()
    from banditlab.claims.doctor import examine

    return report(examine(output))
