"""Least squares over a finite class of functions: exact errors between two, and the threshold that covers all."""

import math

import numpy as np
from scipy import stats


def chosen_alone(shown: np.ndarray, error: float, noise: float, num_pairs: int, least: float = 0.0) -> np.ndarray:
    """(M,) exact P(least squares over {f*, f_m} takes f_m, and sum_i (Delta_fm - Delta*)^2 > least).

    A pair shows the difference of f_m from f* with probability shown[m] (M,), and then by |error|, with Gaussian noise
    of deviation `noise`. B ~ Binomial(num_pairs, shown[m]) pairs show it: f_m is taken with probability Phi(-|error|
    sqrt(B)/(2 noise)). B = 0 is a tie, which goes to f*. The sum over m bounds the same for the whole class.
    """
    counts = np.arange(1, num_pairs + 1)
    taken = stats.norm.cdf(-abs(error) * np.sqrt(counts) / (2 * noise)) * (error**2 * counts > least)
    return np.asarray([stats.binom.pmf(counts, num_pairs, p) @ taken for p in shown])


def threshold(num_functions: int, delta: float) -> float:
    """log(|F|/delta), |F| = num_functions + 1 with the truth: bounds that hold with probability 1 - delta have it.

    Noiseless: f with p_f > log(|F|/delta)/n survives with probability (1-p_f)^n < delta/|F|. Least squares: f, of
    deviations g on the pairs, beats f* iff ||g||^2 <= 2 tau <eps, g>, so with probability Phi(-||g||/(2 tau)), at most
    delta/|F| once ||g||^2 > 8 tau^2 log(|F|/delta), by Phi(-s) <= e^{-s^2/2}. In either case sum over f.
    """
    return math.log((num_functions + 1) / delta)
