"""Forward against reverse KL: one gradient step, the boundary between the two, the whole way, and small classes."""

from dataclasses import dataclass

import numpy as np

from banditlab import mode_seeking as ms
from banditlab.claims.experiment import Experiment
from banditlab.didactic.problem import problem
from banditlab.store import Shards, Table
from experiments.didactic.kl_directions import fitting, steps
from experiments.didactic.kl_directions.checks import check
from experiments.didactic.kl_directions.figure import plot

CLAIM = (
    "One step down KL(pi||q) moves mass between two bins of equal mass p faster than one down KL(q||pi) iff p > (q1 - "
    "q2)/log(q1/q2), exactly; that step does not decide the whole way; and in a class that cannot hold two modes the "
    "minimum of reverse KL seeks one only if they are far enough apart, while a broad start ends covering both."
)
FORWARD, REVERSE = ms.DIRECTIONS


@dataclass(frozen=True)
class Config:
    """Steps of random pi and q on 10 bins; the plane's grid; targets uniform on the simplex; the bandits; the fits.

    step_sizes fall by two, so that neighbours give a slope, and end where a remainder still has ten digits. betas:
    temperatures of the whole ways, taken in steps of gradient_step; curve: those at which one step is taken. weights of
    the larger mode, deviation of both, separations in deviations; shown: the one whose fits are drawn.
    """

    num_random: int = 64
    step_sizes: tuple[float, ...] = tuple(2.0**-k for k in range(1, 9))
    grid: tuple[int, int] = (28, 21)
    num_targets: int = 65_536
    num_bins: int = 10
    betas: tuple[float, ...] = tuple(np.geomspace(0.07, 2.0, 10).tolist())
    curve: tuple[float, ...] = tuple(np.geomspace(0.02, 10.0, 41).tolist())
    gradient_step: float = 0.02
    weights: tuple[float, ...] = (0.5, 0.6)
    deviation: float = 0.08
    separations: tuple[float, ...] = tuple(np.arange(1.0, 12.6, 0.75).round(2).tolist())
    shown: float = 7.0
    seed: int = 0


def run(config: Config, shards: Shards) -> Table:
    """Rows of parts: step, plane, crossing, share, bandit curves, critical temperatures, whole ways, fits, shapes."""
    shards.expect(0)
    rows = [*_steps(config), *_plane(config), *_bandits(config), *_ways(config), *_fits(config)]
    failures = {"whole ways not half done": int(sum(np.isinf(r["value"]) for r in rows if r["part"] == "way"))}
    return Table.from_rows(rows, meta={"failures": failures})


def _row(part: str, case: str, direction: str, x: float, value: float, predicted: float = 0.0, aux: float = 0.0):
    numbers = {"x": float(x), "value": float(value), "predicted": float(predicted), "aux": float(aux)}
    return {"part": part, "case": case, "direction": direction} | numbers


def _steps(config: Config) -> list[dict]:
    """Remainders of log pi(group) after the first order, the worst against their bound, and exact log ratios."""
    drawn = steps.mass_remainders(config.seed, config.num_random, config.step_sizes)
    rows = []
    for place, direction in enumerate(ms.DIRECTIONS):
        for k, step in enumerate(config.step_sizes):
            made = [
                ms.log_mass_change(policy, target, direction, group=drawn["group"], step=step)
                for policy, target in zip(drawn["policies"], drawn["targets"], strict=True)
            ]
            first = np.asarray([change.first_order for change in made])
            bound = np.asarray([change.remainder_bound for change in made])
            remainder = np.abs(drawn["change"][place, k] - first)
            size = remainder.mean()
            rows.append(_row("step", "remainder", direction, step, size, bound.mean(), (remainder / bound).max()))
            exact = np.asarray([change.exact for change in made])
            rows.append(_row("step", "exact", direction, step, drawn["change"][place, k].mean(), exact.mean()))
            # |third cumulant| <= range^3/(6 sqrt 3), under the tilted laws too, over 3! and for both terms.
            third = 2 / (36 * np.sqrt(3)) * (8 * bound) ** 1.5
            rows.append(_row("step", "third order", direction, step, third.mean()))
        # A step of 100 is as exact as one of 0.01: a log ratio is a difference of logits.
        moved = steps.ratio_moves(drawn["policies"], drawn["targets"], 100.0)[place]
        exact = [
            ms.log_ratio_change(policy, target, direction, first=0, second=1, step=100.0)
            for policy, target in zip(drawn["policies"], drawn["targets"], strict=True)
        ]
        rows.append(_row("step", "log ratio", direction, 100.0, (moved * np.sign(exact)).mean(), np.abs(exact).mean()))
    return rows


def _plane(config: Config) -> list[dict]:
    """Simulated winners on a grid, simulated crossings against the closed form, the share of uniform targets."""
    ratios = np.geomspace(1.15, 300.0, config.grid[0])
    covers = np.geomspace(1.01 * steps.LOW, steps.HIGH, config.grid[1])
    across, up = (axis.ravel() for axis in np.meshgrid(ratios, covers))
    excess = steps.plane_winners(across, up)
    first, second = 2 * across / (1 + across), 2 / (1 + across)  # the targets in units of their mean
    predicted = up - ms.boundary(first, second)
    rows = [
        _row("plane", "grid", REVERSE if won > 0 else FORWARD, r, y, r, gap)
        for won, r, y, gap in zip(excess, across, up, predicted, strict=True)
    ]
    crossings = steps.plane_crossings(ratios, steps.LOW, steps.HIGH)
    expected = ms.boundary(2 * ratios / (1 + ratios), 2 / (1 + ratios))
    rows += [_row("plane", "crossing", "both", *row) for row in zip(ratios, crossings, expected, strict=True)]
    wins = steps.uniform_targets(config.num_targets, config.num_bins, config.seed)["reverse_wins"]
    share = ms.reverse_share(config.num_bins)
    return [*rows, _row("plane", "share", REVERSE, config.num_bins, wins.mean(), share, config.num_targets)]


def _bandits(config: Config) -> list[dict]:
    """Where pi_ref and pi* of the bandits lie in the plane at every temperature, and where they cross the boundary."""
    rows = []
    betas = np.asarray(config.curve)
    for name, case in steps.BANDITS.items():
        reward, log_reference = steps.twinned(problem(*case))
        targets = np.exp(steps.tilted(reward, log_reference, betas))
        cover = np.exp(log_reference[0]) / targets[:, :2].mean(1)
        speeds = steps.speed_ratios(reward, log_reference, betas)
        ratio = targets[:, 0] / targets[:, 1]
        rows += [_row("bandit", name, "both", *row) for row in zip(betas, speeds, cover, ratio, strict=True)]
        critical = ms.critical_temperature(reward, log_reference, high=reward[0], low=reward[1])
        low, high = np.asarray([1e-4]), np.asarray([100.0])
        found = steps.bisected(lambda b, r=reward, p=log_reference: 1 - steps.speed_ratios(r, p, b), low, high)[0]
        mean = float(np.exp(log_reference) @ reward)
        # Without a crossing the bisection ends at its upper end.
        rows.append(_row("critical", name, "both", mean, np.inf if found > 99.0 else found, critical))
    return rows


def _ways(config: Config) -> list[dict]:
    """Time, step times number, in which each direction goes half the way, by steps and by the flow's equation."""
    rows = []
    betas = np.asarray(config.betas)
    for name in ("R1", "R2"):
        reward, log_reference = steps.twinned(problem(*steps.BANDITS[name]))
        targets = steps.tilted(reward, log_reference, betas)
        starts = np.tile(log_reference, (len(betas), 1))
        times = steps.halfway_steps(starts, targets, config.gradient_step, 200_000) * config.gradient_step
        for place, direction in enumerate(ms.DIRECTIONS):
            for beta, target, time in zip(betas, targets, times[place], strict=True):
                flow, largest = _flow_halfway(log_reference, target, direction, time)
                rows.append(_row("way", name, direction, beta, time, flow, config.gradient_step * largest))
    return rows


def _flow_halfway(start: np.ndarray, target: np.ndarray, direction: ms.Direction, near: float) -> tuple[float, float]:
    """When the flow is half-way, near a given time, and a bound on the norm of the Hessian on its way."""
    if not np.isfinite(near):
        return np.inf, 0.0
    times = near * np.r_[0.0, 0.25, 0.5, 0.75, np.linspace(0.9, 1.1, 9)]
    path = ms.gradient_flow(start, target, direction, times)
    ratio = path[:, 0] - path[:, 1]
    goal = (start[0] - start[1] + target[0] - target[1]) / 2
    # A cubic through the four nearest points: its error is of fourth order in 2.5% of the time.
    four = np.argsort(np.abs(ratio - goal))[:4]
    half = sum(times[i] * np.prod([(goal - ratio[j]) / (ratio[i] - ratio[j]) for j in four if j != i]) for i in four)
    if direction == FORWARD:
        return float(half), 0.5  # the Hessian is the covariance of one draw, whose norm is at most 1/2
    policy, log_ratio = np.exp(path), path - target
    weights = policy * (1 + log_ratio - (policy * log_ratio).sum(1, keepdims=True))
    norm = np.linalg.norm(policy, axis=1)
    # sum_i weights_i c_i c_i' with c_i = e_i - pi, whose weights sum to one.
    bounds = np.abs(weights).max(1) + 2 * np.linalg.norm(weights, axis=1) * norm + norm**2
    return float(half), float(bounds.max())


def _fits(config: Config) -> list[dict]:
    """Quantities of the fits over separations and weights, and the shapes of the ones that are drawn."""
    rows = []
    for weight in config.weights:
        for separation in config.separations:
            for found in fitting.summary(separation * config.deviation, weight, config.deviation):
                name = f"{found.name}, w={weight:g}"
                rows.append(_row("fit", name, found.direction, separation, found.value, found.predicted, found.aux))
    drawn = (config.shown * config.deviation, max(config.weights), config.deviation)
    centres = ms.quadratic_features(fitting.NUM_BINS)[:, 0]
    target = np.exp(fitting.mixture(*drawn)[0])
    for direction, found in fitting.fits(*drawn).items():
        shape = np.exp(found.log_policy[fitting.leftmost(found)])
        rows += [_row("shape", "w", direction, *row, config.shown) for row in zip(centres, shape, target, strict=True)]
    return rows


EXPERIMENT = Experiment(
    name="kl_directions",
    claim=CLAIM,
    family="didactic",
    presets={
        "smoke": Config(num_random=8, grid=(5, 5), num_targets=4096, betas=(0.3, 1.0), separations=(2.0, 7.0, 12.0)),
        "default": Config(),
        "paper": Config(num_random=1024, grid=(61, 51), num_targets=1_048_576, gradient_step=0.005),
    },
    run=run,
    check=check,
    plot=plot,
)
