"""What offline estimators should do, from docs/theory.md: Proposition 5's prior, prices at large N, chi-PO's bias."""

import jax
import numpy as np
from jax import Array

import banditlab as bl
from banditlab import coverage
from banditlab.exact import chi_po, cosine_prior


def draw_prior(env: bl.Environment, radius: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, d) theta* from Proposition 5's prior around env.target_params: a product over w, that of `box_axes`."""
    w = cosine_prior.draw(radius, (count, env.num_features), rng)
    return np.asarray(env.target_params) + w @ box_axes(env)


def box_axes(env: bl.Environment) -> np.ndarray:
    """Rows (d, d): theta - centre = w' rows, with ||w|| = ||theta - centre||_{V*} and V(pi_0) diagonal in w."""
    spread = np.asarray(coverage.target_covariance(env))
    eigenvalues, vectors = np.linalg.eigh(spread)
    inverse_root = vectors / np.sqrt(eigenvalues) @ vectors.T
    initial = np.asarray(bl.theory.second_moment(env, bl.samplers.initial(env, env.log_initial))) / 2
    return np.linalg.eigh(inverse_root @ initial @ inverse_root)[1].T @ inverse_root


@jax.jit
def prices(env: bl.Environment, targets: Array) -> Array:
    """(count,) tr(V* H(theta)^{-1}), V* at the centre, H the information of a label at theta = targets (count, d)."""
    spread, law = coverage.target_covariance(env), bl.samplers.initial(env, env.log_initial)

    def one(target):
        return coverage.trace_ratio(bl.theory.fisher_information(env.replace(target_params=target), law), spread)

    return jax.vmap(one)(targets)


def pessimistic_price(env: bl.Environment, width: float) -> float:
    """lim N E||theta_pess - theta*||^2_{V*} = C_F(pi_0) + width^2 g'M^{-1}V*M^{-1}g / g'M^{-1}g at theta* = the centre.

    M = E zz' per label, g = grad A(theta*) - E_{pi_ref} phi (needs g != 0): to first order in N^{-1/2}, theta_pess =
    theta_hat - width (NM)^{-1} g/||g||_{(NM)^{-1}}, a shift that does not depend on the data.
    """
    law = bl.samplers.initial(env, env.log_initial)
    moment = np.asarray(bl.theory.second_moment(env, law))
    probs = np.exp(np.stack([env.log_target, env.log_reference]))
    mean = np.einsum("x,pxa,xad->pd", np.asarray(env.context_probs), probs, np.asarray(env.features))
    shift = np.linalg.solve(moment, mean[0] - mean[1])
    spread = np.asarray(coverage.target_covariance(env))
    bias = width**2 * (shift @ spread @ shift) / ((mean[0] - mean[1]) @ shift)
    return float(bl.theory.label_price(env, law)) + float(bias)


def chi_po_limit(env: bl.Environment, temperature: float) -> float:
    """||theta_chi - theta*||^2_{V*} of the linear softmax nearest to the chi-PO optimum at the true reward.

    For one context.
    """
    target, reference = np.asarray(env.target_params), np.exp(np.asarray(env.log_reference[0]))
    features, reward = np.asarray(env.features[0]), np.asarray(env.reward[0])
    shift = chi_po.nearest_softmax(features, reward, reference, temperature, target) - target
    return float(shift @ np.asarray(coverage.target_covariance(env)) @ shift)
