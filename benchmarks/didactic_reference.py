"""The didactic bandit trained the way it is often written: one state and one action at a time, in NumPy.

The MLP 100 - 50 (LayerNorm, ReLU) - 256 - 256 - 100 in float32 with hand-written backpropagation and Adam. Every
log-probability is a forward pass of its own, every pair two; it shares no code with banditlab.
"""

from __future__ import annotations

import itertools

import numpy as np

ADAM = (0.9, 0.999, 1e-8)


class Network:
    """Logits log_reference + network(s) of one state at a time, with the gradients added up in `gradient`."""

    def __init__(self, log_reference: np.ndarray, rng: np.random.Generator, gain: float = 0.01) -> None:
        widths = (100, 50, 256, 256, len(log_reference))
        self.log_reference = log_reference.astype(np.float32)
        self.params = {"scale": np.ones(50, np.float32), "shift": np.zeros(50, np.float32)}
        for layer, (rows, columns) in enumerate(itertools.pairwise(widths)):
            bound = gain * np.sqrt(6 / (rows + columns))
            self.params[f"w{layer}"] = rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)
            self.params[f"b{layer}"] = np.zeros(columns, np.float32)
        self.moments = {name: (np.zeros_like(p), np.zeros_like(p)) for name, p in self.params.items()}
        self.num_steps = 0
        self.clear()

    def clear(self) -> None:
        """Forget the gradients."""
        self.gradient = {name: np.zeros_like(p) for name, p in self.params.items()}

    def log_probs(self, state: np.ndarray) -> np.ndarray:
        """(A,) log pi(.|s); keeps what `add_gradient` needs."""
        p = self.params
        z = state @ p["w0"] + p["b0"]
        self.deviation = np.sqrt(z.var() + np.float32(1e-5))
        self.normal = (z - z.mean()) / self.deviation
        self.layers = [state, np.maximum(self.normal * p["scale"] + p["shift"], 0)]
        for layer in (1, 2):
            self.layers.append(np.maximum(self.layers[-1] @ p[f"w{layer}"] + p[f"b{layer}"], 0))
        logits = self.log_reference + self.layers[3] @ p["w3"] + p["b3"]
        shifted = logits - logits.max()
        self.output = shifted - np.log(np.exp(shifted).sum())
        return self.output

    def add_gradient(self, action: int, weight: float) -> None:
        """Add weight * d log pi(action|s) of the state that `log_probs` saw last."""
        p, g = self.params, self.gradient
        delta = -np.exp(self.output)
        delta[action] += 1
        delta *= np.float32(weight)
        for layer in (3, 2, 1):
            g[f"w{layer}"] += np.outer(self.layers[layer], delta)
            g[f"b{layer}"] += delta
            delta = (p[f"w{layer}"] @ delta) * (self.layers[layer] > 0)
        g["scale"] += delta * self.normal
        g["shift"] += delta
        delta = delta * p["scale"]
        delta = (delta - delta.mean() - self.normal * (delta * self.normal).mean()) / self.deviation
        g["w0"] += np.outer(self.layers[0], delta)
        g["b0"] += delta

    def step(self, learning_rate: float) -> None:
        """One step of Adam down the gradients added up."""
        first, second, epsilon = ADAM
        self.num_steps += 1
        for name, gradient in self.gradient.items():
            m, v = self.moments[name]
            m += (1 - first) * (gradient - m)
            v += (1 - second) * (gradient * gradient - v)
            corrected = np.sqrt(v / (1 - second**self.num_steps)) + epsilon
            self.params[name] -= learning_rate * m / (1 - first**self.num_steps) / corrected
        self.clear()


def best_of_n(
    reward: np.ndarray,
    log_reference: np.ndarray,
    *,
    num_steps: int,
    num_states: int,
    num_samples: int,
    learning_rate: float,
    seed: int,
) -> float:
    """On-policy Best-of-N, fresh draws every step; returns E_pi R at one more state."""
    rng = np.random.default_rng(seed)
    network = Network(log_reference, rng)
    for _ in range(num_steps):
        for _ in range(num_states):
            state = rng.random(100, dtype=np.float32)
            actions = [_draw(rng, network.log_probs(state)) for _ in range(num_samples)]
            best = max(actions, key=lambda action: reward[action])
            network.log_probs(state)
            network.add_gradient(best, -1 / num_states)
        network.step(learning_rate)
    return float(np.exp(network.log_probs(rng.random(100, dtype=np.float32))) @ reward)


def ipo(
    reward: np.ndarray,
    log_reference: np.ndarray,
    *,
    num_steps: int,
    num_states: int,
    num_samples: int,
    learning_rate: float,
    target: float,
    seed: int,
) -> float:
    """Offline IPO on one data set, all pairs every step; returns E_pi R at one more state."""
    rng = np.random.default_rng(seed)
    network = Network(log_reference, rng)
    states = rng.random((num_states, 100), dtype=np.float32)
    data = [[_draw(rng, log_reference) for _ in range(num_samples)] for _ in states]
    for _ in range(num_steps):
        pairs = [
            (state, i, j) if reward[i] > reward[j] else (state, j, i)
            for state, actions in zip(states, data, strict=True)
            for k, i in enumerate(actions)
            for j in actions[k + 1 :]
            if reward[i] != reward[j]
        ]
        for state, winner, loser in pairs:
            ratio = network.log_probs(state)[winner] - log_reference[winner]
            ratio -= network.log_probs(state)[loser] - log_reference[loser]
            slope = 2 * (ratio - target) / len(pairs)
            network.add_gradient(winner, slope)
            network.add_gradient(loser, -slope)
        network.step(learning_rate)
    return float(np.exp(network.log_probs(rng.random(100, dtype=np.float32))) @ reward)


def _draw(rng: np.random.Generator, log_probs: np.ndarray) -> int:
    probs = np.exp(log_probs.astype(np.float64))
    return int(rng.choice(len(probs), p=probs / probs.sum()))
