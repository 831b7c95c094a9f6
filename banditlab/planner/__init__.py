"""The label planner: what preference data are worth, how many more labels to buy, and which (docs/theory.md, I6).

For people with data and no known reward. The maximum-likelihood estimate, proved to exist, is put in place of theta*
("plug-in") in label price, predicted KL and labels needed; standard errors are those of the delta method. All
assume Bradley-Terry labels and a realizable reward, and hold to first order: they mean something where the predicted
KL is small. Without an estimate nothing is plugged in, and the pairs to buy come from a design free of theta.
"""

from banditlab.planner.plans import DESIGNED, GREEDY, Plan, plan
from banditlab.planner.prices import Assessment, assess, labels_needed, pooled_kl
from banditlab.planner.problem import comparisons, problem
from banditlab.planner.purchase import apportion, greedy_pairs, lower_bound

__all__ = [
    "DESIGNED",
    "GREEDY",
    "Assessment",
    "Plan",
    "apportion",
    "assess",
    "comparisons",
    "greedy_pairs",
    "labels_needed",
    "lower_bound",
    "plan",
    "pooled_kl",
    "problem",
]


def __dir__() -> list[str]:
    return __all__
