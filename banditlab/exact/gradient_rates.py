"""Exact-gradient descent on the population DPO loss of a tabular softmax, and the rates derived for it.

In the coordinates d = r* - r of the implicit reward r of pi_k (up to a constant per prompt) one step of length eta on
pairs from a law mu, frozen for the step, is

    d_i <- d_i - eta beta^2 sum_j (mu_ij + mu_ji) [sigma(r*_ij) - sigma(r*_ij - d_ij)],    d_ij = d_i - d_j.      (1)

*Linear.* The bracket is sigma'(r*_ij) d_ij + O(d^2), and a law that moves with the policy changes (1) by O(d^2) only,
as the bracket vanishes at pi*. So d <- (I - eta beta^2 L) d + O(d^2), L the Laplacian of the weights (mu_ij + mu_ji)
sigma'(r*_ij) at pi*. The best constant step, 2/(beta^2 (l_min + l_max)) of the non-zero eigenvalues of L, has the
rate rho = (l_max - l_min)/(l_max + l_min): with three actions the two modes shrink by rho and -rho, so two steps
shrink every error by rho^2. Convergence is faster than linear iff the eigenvalues agree: always with TWO actions.

*Quadratic.* On pairs with mu_ij = 1/(Z sigma'(t_ij)) all weights agree where t = r*, L is a multiple of the Laplacian
of the complete graph, and eta = Z/(2 beta^2 A) makes (1) d_i <- d_i - (1/A) sum_j [...]/sigma'(t_ij). For Mix-P, t =
r, this is Newton's method for the loss on those pairs; for Mix-R, t = r*, the chord method with the Hessian at the
solution. With sigma''/sigma'(u) = -tanh(u/2),

    d_ij <- ± (1/2A) sum_m [tanh(r*_im/2) d_im^2 - tanh(r*_jm/2) d_jm^2] + O(d^3),    + Mix-P, - Mix-R,        (2)

with a remainder of at most 2 (A-1)/A (e^e/6 + 1/4) e^3, e = max |d_ij|, by |sigma'''| <= sigma' and sigma'(u + v) <=
e^|v| sigma'(u).
"""

import numpy as np
from scipy.special import expit


def linear_theory(law: np.ndarray, reward: np.ndarray, beta: float) -> tuple[float, float, float]:
    """Rate and best constant step on a law (A, A), and b with |error of the linear step| <= b e^2 for e <= 0.1.

    Neglected in (1): |sigma''|/2 d^2 <= e^2/20, and the change of the law times sigma' d, where |log mu/mu*| <= x =
    4 (1 + beta) osc <= 4 (1 + 1/beta) e for a law made of pi, pi_ref and sigma' (osc = e/beta) and e^x - 1 <= x e^x. A
    difference d_ij sees two rows of weights.
    """
    gaps = reward[:, None] - reward[None, :]
    weights = law + law.T
    curvature = weights * expit(gaps) * expit(-gaps)
    laplacian = np.diag(curvature.sum(axis=1)) - curvature
    eigenvalues = np.linalg.eigvalsh(laplacian)[1:]
    step = 2 / (beta**2 * (eigenvalues[0] + eigenvalues[-1]))
    rate = (eigenvalues[-1] - eigenvalues[0]) / (eigenvalues[-1] + eigenvalues[0])
    moved = 4 * (1 + 1 / beta)
    heaviest = np.sort((weights - np.diag(np.diag(weights))).sum(axis=1))[-2:].sum()
    return rate, step, step * beta**2 * heaviest * (0.05 + 0.25 * moved) * np.exp(0.1 * moved)


def quadratic_image(reward: np.ndarray, error: np.ndarray) -> float:
    """max over i, j of the right side of (2) without its remainder, for one error (A,)."""
    squares = (error[:, None] - error[None, :]) ** 2
    image = (np.tanh((reward[:, None] - reward[None, :]) / 2) * squares).sum(axis=1) / (2 * len(reward))
    return float(np.ptp(image))


def two_step_remainder(errors: np.ndarray, rate: float, bend: float) -> np.ndarray:
    """(K,) largest distance of e_(k+2)/e_k from rho^2 for errors e_k (K,), rate and bend those of `linear_theory`.

    The neglected terms are M r_k + r_(k+1), |r| <= bend e^2, M the linear step: |M| <= sqrt(3/2) rho between the
    differences of three numbers, its norm being rho between the numbers.
    """
    return 2 * bend * errors * (1 + rate)


def quadratic_remainder(errors: np.ndarray, num_actions: int) -> np.ndarray:
    """(K,) largest remainder of (2) for errors e_k (K,)."""
    return 2 * (num_actions - 1) / num_actions * (np.exp(errors) / 6 + 0.25) * errors**3


def order_shortfall(error: float, bend: float, rounding: float) -> float:
    """2 less the smallest log e_(k+1)/log e_k that e_(k+1) <= b e_k^2 allows: log b/|log e_k|, for e_k below 1.

    rounding: relative, of e_(k+1).
    """
    return (np.log(bend) + rounding) / abs(np.log(error))
