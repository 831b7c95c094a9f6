"""The first correction to the floor of the two-action chain: n E KL = (C_F/2) (1 + c/n + O(1/n^2))."""

from scipy.special import expit


def remainder_constant(target: float, start: float) -> float:
    """c of n E KL / (C_F/2) = 1 + c/n + O(1/n^2) on the chain with beta = 1, for labels from pi_{theta_0}.

    Of n pairs m ~ Binomial(n, q) are informative, q = 2 sigma'(theta_0), and action 1 wins w ~ Binomial(m, p), p =
    sigma(theta*). With beta = 1 KL is the binary kl(p||w/m), whose derivatives at w/m = p are h, -2 (1-2p) h^2 and
    6 h^2 + 6 (1-2p)^2 h^3, h = 1/(p(1-p)). Inserting the central moments 1/(h m), (1-2p)/(h m^2) and 3/(h m)^2 of
    w/m, then E 1/m = (1 + (1-q)/(nq))/(nq) + ..., gives c = (1-q)/q + (3/2 + (5/6) (1-2p)^2 h)/q.

    Args:
        target: theta*.
        start: theta_0, whose policy draws the pairs.
    """
    p, q = expit(target), 2 * expit(start) * expit(-start)
    skewness = (1 - 2 * p) ** 2 / (p * (1 - p))
    return float((1 - q) / q + (1.5 + 5 / 6 * skewness) / q)
