"""Forward against reverse KL: one gradient step, the boundary between the two, the whole way, and small classes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from banditlab.claims import Experiment, Shards, Table
from banditlab.didactic import kl_descent
from banditlab.didactic.problem import problem
from banditlab.exact import step_remainders, two_bins
from banditlab.exact.gaussian_mixtures import Mixture
from banditlab.theory import mode_seeking as ms
from banditlab.theory.mode_seeking import half_way, mixture_fits
from experiments.didactic.kl_directions.checks import BANDITS, FORWARD, MASS, REVERSE, check
from experiments.didactic.kl_directions.figure import HIGH, LOW, plot

CLAIM = (
    "One step down KL(pi||q) moves mass between two bins of equal mass p faster than one down KL(q||pi) iff p > (q1 - "
    "q2)/log(q1/q2), exactly; that step does not decide the whole way; and in a class that cannot hold two modes the "
    "minimum of reverse KL seeks one only if they are far enough apart, while a broad start ends covering both."
)
COLUMNS = {
    "*": {
        "ratio": "q1/q2, target masses of the two bins",
        "cover": "p/((q1 + q2)/2), mass p of either bin under pi over their mean target mass",
        "bandit": "1-D bandit, the peak of its reward against a twin of the same mass and no reward",
        "weight": "weight w of the larger mode of the mixture q",
        "separation": "distance D of the modes [deviations]",
    },
    "step": {
        "direction": "forward, down KL(q||pi); reverse, down KL(pi||q)",
        "step": "step size on the logits",
        "remainder": "distance of the change of log pi(group) from its first order, mean over random pairs [nats]",
        "bound": "step^2 range^2/8 of the gradient, mean over random pi and q [nats]",
        "remainder_ratio": "largest remainder over its bound",
        "change": "change of log pi(group) by autodiff, mean over random pi and q [nats]",
        "predicted": "change of log pi(group) in closed form, mean over random pi and q [nats]",
        "third_order": "bound on the third order of the change, mean over random pi and q [nats]",
        "large_step": "size of one more step",
        "ratio_move": "way of log(pi_1/pi_2) in that step by autodiff, mean over random pi and q [nats]",
        "predicted_ratio_move": "way of log(pi_1/pi_2) in that step in closed form, mean [nats]",
    },
    "plane": {
        "winner": "direction whose step by autodiff moves log(pi_1/pi_2) further",
        "excess": "cover less the boundary in closed form",
        "crossing": "cover at which the winner of steps by autodiff changes, at this ratio",
        "predicted": "cover at the boundary in closed form, at this ratio",
    },
    "share": {
        "bins": "bins of a target [bins]",
        "share": "share of targets uniform on the simplex for which reverse is faster, pi uniform",
        "predicted": "that probability in closed form",
        "draws": "targets drawn [targets]",
    },
    "bandit": {
        "speed_ratio": "reverse over forward way of the log ratio in one step from pi_ref",
        "mean_reward": "expected reward of pi_ref, of which above 1/2 reverse is faster at every beta [reward]",
        "critical_beta": "temperature below which reverse is faster, by autodiff; inf where always [reward]",
        "predicted": "that temperature in closed form [reward]",
    },
    "way": {
        **{f"{d}_time": f"{d} step size times steps to half of the log ratio" for d in ms.DIRECTIONS},
        **{f"{d}_flow": f"time to half of the log ratio along the {d} gradient flow" for d in ms.DIRECTIONS},
        **{f"{d}_bend": f"step size times a bound on the Hessian's norm, {d}" for d in ms.DIRECTIONS},
    },
    "fit": {
        "deviation": "deviation s of both modes, on [-1, 1]",
        **{f"{d}_kl": f"least {d} KL of a discretised Gaussian [nats]" for d in ms.DIRECTIONS},
        **{f"{d}_grid_kl": f"least {d} KL over a grid of such Gaussians [nats]" for d in ms.DIRECTIONS},
        **{f"{d}_gradient_norm": f"largest norm of the gradient at a {d} fit, 1e-10 below it" for d in ms.DIRECTIONS},
        **{f"{d}_middle": f"mass of the {d} fit in the middle third between the modes" for d in ms.DIRECTIONS},
        **{f"{d}_mean": f"mean of the {d} fit" for d in ms.DIRECTIONS},
        **{f"{d}_second_moment": f"second moment of the {d} fit" for d in ms.DIRECTIONS},
        "middle": "mass of the mixture in the middle third between the modes",
        "mean": "mean of the mixture",
        "larger_mode": "place of the larger mode",
        "second_moment": "second moment of the mixture",
        "one_mode_kl": "log 1/w, the reverse KL of the larger mode far from the other [nats]",
        "side_floor": "least reverse KL of any pi with the fit's mass on x > 0 [nats]",
        "leak": "bound on KL of the reverse fit to the larger mode [nats]",
        "broad_kl": "reverse KL where gradient flow from the mixture's moments ends [nats]",
        "broad_mean": "mean of the Gaussian where that flow ends",
    },
    "shape": {
        "x": "centre of a bin",
        "target": "mass of the bin under the mixture q",
        **{d: f"mass of the bin under the {d} fit" for d in ms.DIRECTIONS},
    },
}
# Of random policies, and of the plane.
_BINS = 10


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


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """One step, the plane, uniform targets, the bandits' curves and whole ways, the fits and two of their shapes."""
    shards.expect(0)
    wins = kl_descent.reverse_wins(config.num_targets, config.num_bins, config.seed)
    share = {"bins": float(config.num_bins), "share": wins.mean(), "predicted": ms.reverse_share(config.num_bins)}
    return {
        "step": Table.from_rows(_steps(config)),
        "plane": _plane(config),
        "share": Table(share | {"draws": float(config.num_targets)}),
        "bandit": Table.stack(_bandits(config)),
        "way": Table.from_rows(_ways(config)),
        "fit": Table.from_rows(_fit(config, *cell) for cell in itertools.product(config.weights, config.separations)),
        "shape": _shapes(config),
    }


def _steps(config: Config) -> Iterator[dict]:
    """Remainders of log pi(group) after the first order, the worst against their bound, and exact log ratios."""
    starts, targets = np.log(np.random.default_rng(config.seed).dirichlet(np.ones(_BINS), (2, config.num_random)))
    pairs, group = list(zip(starts, targets, strict=True)), np.arange(_BINS) < 3
    changes = kl_descent.mass_changes(starts, targets, group, config.step_sizes)
    for place, direction in enumerate(ms.DIRECTIONS):
        # A step of 100 is as exact as one of 0.01: a log ratio is a difference of logits.
        moved = kl_descent.ratio_moves(starts, targets, 100.0)[place]
        exact = [ms.log_ratio_change(pi, q, direction, first=0, second=1, step=100.0) for pi, q in pairs]
        way, predicted = (moved * np.sign(exact)).mean(), np.abs(exact).mean()
        large = {"large_step": 100.0, "ratio_move": way, "predicted_ratio_move": predicted}
        for step, change in zip(config.step_sizes, changes[place], strict=True):
            made = [ms.log_mass_change(pi, q, direction, group=group, step=step) for pi, q in pairs]
            first, exact, bound = np.transpose(made)
            remainder = np.abs(change - first)
            row = {"direction": direction, "step": step, "remainder": remainder.mean(), "bound": bound.mean()}
            row |= {"remainder_ratio": (remainder / bound).max(), "change": change.mean(), "predicted": exact.mean()}
            yield row | {"third_order": step_remainders.third_order(bound).mean()} | large


def _plane(config: Config) -> Table:
    """Simulated winners on a grid, and simulated crossings against the closed form."""
    ratios = np.geomspace(1.15, 300.0, config.grid[0])
    ratio, cover = (axis.ravel() for axis in np.meshgrid(ratios, np.geomspace(1.01 * LOW, HIGH, config.grid[1])))
    ends = (np.full(len(ratios), end) for end in (LOW, HIGH))
    crossings = np.tile(two_bins.bisected(lambda middle: _lead(ratios, middle), *ends), config.grid[1])
    boundary = ms.boundary(2 * ratio / (1 + ratio), 2 / (1 + ratio))  # the targets in units of their mean
    columns = {"ratio": ratio, "cover": cover, "winner": np.where(_lead(ratio, cover) > 0, REVERSE, FORWARD)}
    return Table(columns | {"excess": cover - boundary, "crossing": crossings, "predicted": boundary})


def _lead(ratios: np.ndarray, covers: np.ndarray) -> np.ndarray:
    """(N,) reverse move less forward move of the log ratio in one step, over the forward one."""
    return kl_descent.speed_ratios(*two_bins.points(ratios, covers, mass=MASS, num_bins=_BINS)) - 1


def _bandits(config: Config) -> Iterator[Table]:
    """Where pi_ref and pi* of the bandits lie in the plane at every temperature, and where they cross the boundary."""
    betas = np.asarray(config.curve)
    for name, case in BANDITS.items():
        reward, log_reference = two_bins.twinned(*map(np.asarray, problem(*case)))

        def speeds(at: np.ndarray, reward=reward, start=log_reference) -> np.ndarray:
            return kl_descent.speed_ratios(np.tile(start, (len(at), 1)), two_bins.tilted(reward, start, at))

        ratio, cover = two_bins.coordinates(log_reference, two_bins.tilted(reward, log_reference, betas))
        columns = {"bandit": name, "beta": betas, "speed_ratio": speeds(betas), "cover": cover, "ratio": ratio}
        columns["mean_reward"] = float(np.exp(log_reference) @ reward)
        columns["critical_beta"] = two_bins.zero(lambda at, of=speeds: 1 - of(at), 1e-4, 100.0)
        critical = ms.critical_temperature(reward, log_reference, high=reward[0], low=reward[1])
        yield Table(columns | {"predicted": critical})


def _ways(config: Config) -> Iterator[dict]:
    """Time, step times number, in which each direction goes half the way, by steps and by the flow's equation."""
    for name in ("R1", "R2"):
        reward, start = two_bins.twinned(*map(np.asarray, problem(*BANDITS[name])))
        targets = two_bins.tilted(reward, start, np.asarray(config.betas))
        starts = np.tile(start, (len(targets), 1))
        times = kl_descent.halfway_steps(starts, targets, config.gradient_step, 200_000) * config.gradient_step
        for beta, target, ended in zip(config.betas, targets, times.T, strict=True):
            row = {"bandit": name, "beta": beta}
            for direction, time in zip(ms.DIRECTIONS, ended, strict=True):
                flow, curvature = half_way.half_way(start, target, direction, time)
                row |= {f"{direction}_time": time, f"{direction}_flow": flow}
                row[f"{direction}_bend"] = config.gradient_step * curvature
            yield row


def _fit(config: Config, weight: float, separation: float) -> dict[str, float]:
    """The numbers of the two fits, of the descent from the mixture's moments, and what closed forms say of them."""
    mixture = Mixture(separation * config.deviation, weight, config.deviation)
    row = {"weight": weight, "separation": separation, "deviation": config.deviation}
    policies = {}
    for direction, found in mixture_fits.fits(mixture).items():
        best = mixture_fits.leftmost(found, mixture)
        policies[direction] = np.exp(found.log_policy[best])
        row |= {f"{direction}_kl": found.divergence[best], f"{direction}_grid_kl": mixture.least_on_grid(direction)}
        # What is left is rounding, which is another number on every machine.
        row[f"{direction}_gradient_norm"] = max(float(found.gradient_norm.max()), 1e-10)
        row |= {f"{direction}_{name}": value for name, value in mixture.moments(policies[direction]).items()}
    ended = mixture_fits.descended(mixture)
    row |= mixture.predictions(policies[REVERSE]) | {"broad_kl": float(np.exp(ended) @ (ended - mixture.log_masses))}
    return row | {"broad_mean": mixture.moments(np.exp(ended))["mean"]}


def _shapes(config: Config) -> Table:
    """The two fits that are drawn."""
    mixture = Mixture(config.shown * config.deviation, max(config.weights), config.deviation)
    fits = {d: np.exp(f.log_policy[mixture_fits.leftmost(f, mixture)]) for d, f in mixture_fits.fits(mixture).items()}
    masses = {"x": mixture.features[:, 0], "target": np.exp(mixture.log_masses)} | fits
    return Table(masses | {"separation": config.shown, "weight": mixture.weight})


PRESETS = {
    "smoke": Config(num_random=8, grid=(5, 5), num_targets=4096, betas=(0.3, 1.0), separations=(2.0, 7.0, 12.0)),
    "default": Config(),
    "paper": Config(num_random=1024, grid=(61, 51), num_targets=1_048_576, gradient_step=0.005),
}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
