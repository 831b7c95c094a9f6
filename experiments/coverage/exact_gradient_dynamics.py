"""With exact gradients, which samplers make DPO converge linearly and which quadratically (`exact.gradient_rates`).

After 2409.19605, of which the abstract and the authors' public bandit code were read: uniform pairs linearly, Mix-R
and Mix-P quadratically. (1) and (2) are those of `gradient_rates`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import plotting
from banditlab.claims import Check, Experiment, Shards, Table, interval, lower
from banditlab.exact import gradient_rates

CLAIM = (
    "With exact gradients Mix-R and Mix-P converge quadratically and uniform or on-policy pairs linearly, each at its "
    "derived rate; with two actions a well-chosen step makes uniform pairs quadratic too."
)
# Rewards and reference.
INSTANCES: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "2 actions": ((0.0, 1.5), (0.5, 0.5)),
    "3 actions": ((0.0, 0.8, 2.0), (1 / 3, 1 / 3, 1 / 3)),
    "3 actions, skewed reference": ((0.0, 0.6, 1.5), (0.6, 0.3, 0.1)),
}
OWN_STEP = ("mix_r", "mix_p")
SAMPLERS = ("uniform", "on_policy", "policy_reference", "pilaf_weighted", *OWN_STEP)
# Rounding of the reward differences, of order one: a few operations each; nothing below is looked at.
ROUNDING = 8 * np.finfo(float).eps
SMALLEST = 1e-11
# Name in the figure, colour and marker.
_LOOKS = {
    "uniform": ("uniform", "uniform"),
    "on_policy": ("on-policy", "on_policy"),
    "policy_reference": (r"XPO, $\pi\times\pi_{\mathrm{ref}}$", "xpo"),
    "pilaf_weighted": ("PILAF, weighted", "pilaf"),
    "mix_r": ("Mix-R", "mix_r"),
    "mix_p": ("Mix-P", "mix_p"),
}
COLUMNS = {
    "*": {
        "instance": "number of actions, and which reference",
        "sampler": "law of the pairs; it moves with the policy",
        "step": "gradient steps taken from pi_ref [steps]",
        "error": "e: largest error of an implicit reward difference [reward]",
        "error_se": "rounding level of the error [reward]",
    },
    "constant_step": {
        "rate": "rho: predicted factor of the error in a step, at the best constant step",
        "bend": "b: the error of the linear prediction of a step is at most b e^2 [1/reward]",
    },
    "own_step": {
        "quadratic": "predicted error after one more step, up to third order in e [reward]",
        "quadratic_se": "rounding level of that prediction [reward]",
    },
}


@dataclass(frozen=True)
class Config:
    """Steps of gradient descent from the reference policy; beta of each of INSTANCES."""

    num_steps: int = 120
    betas: tuple[float, float, float] = (1.0, 1.0, 0.7)


def run(config: Config, shards: Shards) -> dict[str, Table]:
    """A row per instance, sampler and step, until the error is down to 1e-11; by who chooses the step's length."""
    shards.expect(len(INSTANCES))
    rows = {"constant_step": [], "own_step": []}
    for instance, beta in zip(INSTANCES, config.betas, strict=True):
        data = shards.get(instance, (0, 1), partial(_descend, instance, beta, config.num_steps))
        for sampler in SAMPLERS:
            errors = data[f"error_{sampler}"]
            for k, error in enumerate(errors[: int(np.argmax(np.append(errors, 0.0) < SMALLEST))]):
                row = {"instance": instance, "beta": beta, "sampler": sampler, "step": k}
                row |= {"error": error, "error_se": ROUNDING}
                if sampler in OWN_STEP:
                    image = data[f"quadratic_{sampler}"][k]
                    rows["own_step"].append(row | {"quadratic": image, "quadratic_se": ROUNDING * error})
                else:
                    rates = {name: float(data[f"{name}_{sampler}"]) for name in ("rate", "bend")}
                    rows["constant_step"].append(row | rates)
    return {part: Table.from_rows(listed) for part, listed in rows.items()}


def _descend(instance: str, beta: float, num_steps: int) -> dict[str, np.ndarray]:
    """Per sampler: errors max |d_ij| and their images under (2), (num_steps + 1,); predicted rate; bend of (1)."""
    reward, reference = (np.asarray(value, float) for value in INSTANCES[instance])
    env = bl.instances.tabular(reward[None], np.log(reference)[None], beta=beta)
    columns = {}
    for sampler in SAMPLERS:
        law = np.asarray(getattr(bl.samplers, sampler)(env, env.log_target))[0]
        rate, step, bend = gradient_rates.linear_theory(law, reward, beta)
        errors = reward[None, :] - np.asarray(_paths(env, sampler, jnp.asarray(step), num_steps))
        images = [gradient_rates.quadratic_image(reward, each) if sampler in OWN_STEP else 0.0 for each in errors]
        columns |= {f"error_{sampler}": np.ptp(errors, axis=1), f"quadratic_{sampler}": np.asarray(images)}
        columns |= {f"rate_{sampler}": np.asarray(rate), f"bend_{sampler}": np.asarray(bend)}
    return columns


@partial(jax.jit, static_argnames=("sampler", "num_steps"))
def _paths(env: bl.Environment, sampler: str, step: Array, num_steps: int) -> Array:
    """Implicit rewards (num_steps + 1, A) of gradient descent from pi_ref, by automatic differentiation."""

    def loss(params: Array, outcomes: Array) -> Array:
        ratio = env.beta * (env.log_policy(params) - env.log_reference)
        return jnp.sum(outcomes * bl.losses.dpo(ratio[:, :, None] - ratio[:, None, :]))

    def advance(params: Array, _: None) -> tuple[Array, Array]:
        log_policy = env.log_policy(params)
        law = getattr(bl.samplers, sampler)(env, log_policy)
        outcomes = bl.preferences.outcome_law(env, law)
        # The own step Z/(2 beta^2 A): a self-pair has sigma' = 1/4, so its mass is 4/Z. Mix-P's needs no r*.
        length = 2 / (env.beta**2 * env.num_actions * law[0, 0, 0]) if sampler in OWN_STEP else step
        ratio = env.beta * (log_policy - env.log_reference)
        return params - length * jax.grad(loss)(params, outcomes), ratio[0]

    return jax.lax.scan(advance, env.log_reference[0], None, length=num_steps + 1)[1]


def check(tables: Mapping[str, Table]) -> list[Check]:
    """The derived rate of every linear run, the derived constant of every quadratic one, and the exception."""
    checks = []
    for words, _, rows in _curves(tables["constant_step"]):
        if rows["rate"][0] > 0.01:
            checks.append(_linear_check(rows, words))
        else:
            claim = f"order of convergence with the best step, {words}: quadratic, not linear"
            checks.append(_superlinear_check(rows, claim))
    return checks + [
        _quadratic_check(rows, words, len(rewards)) for words, rewards, rows in _curves(tables["own_step"])
    ]


def _curves(table: Table) -> Iterator[tuple[str, tuple[float, ...], Table]]:
    """Words, rewards and rows of every sampler on every instance."""
    for instance, (rewards, _) in INSTANCES.items():
        for sampler in dict.fromkeys(table["sampler"].tolist()):
            yield f"{sampler}, {instance}", rewards, table.where(instance=instance, sampler=sampler)


def _linear_check(rows: Table, words: str) -> Check:
    """The two-step factor e_(k+2)/e_k against rho^2, at the step where its derived tolerance is smallest."""
    errors, rate = rows["error"], rows["rate"][0]
    neglected = gradient_rates.two_step_remainder(errors[:-2], rate, rows["bend"][0])
    rounding = 2 * rows["error_se"][:-2] / errors[:-2]
    place = int(np.argmin(np.where(errors[:-2] < 0.1, neglected + rounding, np.inf)))
    why = "terms of second order in two steps, derived, and rounding"
    claim = f"two-step factor of the error = rho^2 (linear convergence), {words}"
    measured = errors[place + 2] / errors[place]
    return interval(claim, rate**2, measured, 0.0, allowance=neglected[place] + rounding[place], why=why)


def _quadratic_check(rows: Table, words: str, num_actions: int) -> Check:
    """e_(k+1) over its quadratic prediction (2), at the step where the derived tolerance is smallest."""
    errors, images = rows["error"][:-1], rows["quadratic"][:-1]
    tolerance = (gradient_rates.quadratic_remainder(errors, num_actions) + rows["error_se"][:-1]) / images
    place = int(np.argmin(tolerance))
    claim = f"e_(k+1) over its quadratic prediction at e_k = {errors[place]:.0e}, {words}"
    why = "remainder of third order, derived, and rounding"
    return interval(claim, 1.0, rows["error"][place + 1] / images[place], 0.0, allowance=tolerance[place], why=why)


def _superlinear_check(rows: Table, claim: str) -> Check:
    """log e_(k+1) / log e_k of the last steps against the order 2."""
    errors = rows["error"]
    order = np.log(errors[-1]) / np.log(errors[-2])
    rounding = rows["error_se"][-1] / errors[-1]
    allowance = gradient_rates.order_shortfall(errors[-2], rows["bend"][0], rounding)
    return lower(claim, 2.0, order, allowance=allowance, why="the constant in e_(k+1) <= b e_k^2, derived; rounding")


def plot(tables: Mapping[str, Table]):
    """Error against the step, one panel per number of actions; dashed, the derived rates."""
    made, axes = plotting.figure(2, 1, height=4.6, sharey=True)
    titles = {
        "2 actions": "2 actions: with the best step uniform\npairs are as quadratic as Mix-R",
        "3 actions": "3 actions: Mix-R and Mix-P are quadratic,\nthe others linear",
    }
    shown_at = []
    for ax, instance in zip(axes, titles, strict=True):
        mixed = tables["own_step"].where(instance=instance, sampler="mix_r")["error"]
        same = []
        for part, table in tables.items():
            for sampler in dict.fromkeys(table["sampler"].tolist()):
                rows = table.where(instance=instance, sampler=sampler)
                label, key = _LOOKS[sampler]
                if part != "own_step" and _hidden(rows["error"], mixed):
                    same.append(label)
                    continue
                shown = rows.kept(rows["step"] <= 16)
                look = {"color": plotting.COLORS[key], "marker": plotting.MARKERS[key], "label": label}
                ax.plot(shown["step"], shown["error"], **look)
                if part == "own_step":
                    plotting.theory(ax, rows["step"][2:] + 1, rows["quadratic"][2:])
                elif rows["rate"][0] > 0.01:
                    steps = shown["step"][-6:]
                    plotting.theory(ax, steps, shown["error"][-1] * rows["rate"][0] ** (steps - steps[-1]))
        if instance == "3 actions" or _LOOKS["uniform"][0] in same:
            ax.set_title(titles[instance])
        ax.set(yscale="log", ylim=(SMALLEST, 10), ylabel=r"max $|\Delta r^*-\Delta\hat r|$")
        rewards = ", ".join(f"{r:g}" for r in INSTANCES[instance][0])
        hidden = f"; not drawn, as Mix-R: {' and '.join(same)}" if same else ""
        beta = tables["constant_step"].where(instance=instance)["beta"][0]
        shown_at.append(rf"{instance}: $r^*$ = {rewards}, $\beta$ = {beta:g}{hidden}")
    axes[1].set_xlabel("exact gradient steps")
    plotting.legend(made, columns=2, theory_label="derived rate")
    plotting.caption(
        made,
        "Population DPO, tabular softmax, uniform reference, start at the reference; no randomness. Mix-R and Mix-P "
        "take the step that their weights give, the others the best constant one. Dashed: $\\rho^k$ for linear "
        f"convergence; for Mix-R and Mix-P the quadratic map of each error. {'. '.join(shown_at)}.",
    )
    return made


def _hidden(error: np.ndarray, drawn: np.ndarray) -> bool:
    """Whether a line lies under another one wherever both are on the axis."""
    both = min(len(error), len(drawn))
    on_axis = np.maximum(error[:both], drawn[:both]) > SMALLEST
    return bool(np.allclose(error[:both][on_axis], drawn[:both][on_axis], rtol=1e-3))


PRESETS = {"smoke": Config(num_steps=60), "default": Config(), "paper": Config(num_steps=240)}
EXPERIMENT = Experiment(claim=CLAIM, presets=PRESETS, run=run, check=check, plot=plot, columns=COLUMNS)
