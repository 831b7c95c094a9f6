"""Didactic bandits: known rewards on a line of actions, many fine-tuning losses, tabular and neural policies
(Tajwar et al. 2024; docs/theory.md, section 8). Start at `training.train`."""

from typing import TYPE_CHECKING

from banditlab.lazy import attributes as _attributes

if TYPE_CHECKING:
    from banditlab.didactic import kl_descent as kl_descent
    from banditlab.didactic import losses as losses
    from banditlab.didactic import pair_steps as pair_steps
    from banditlab.didactic import policies as policies
    from banditlab.didactic import population as population
    from banditlab.didactic import problem as problem
    from banditlab.didactic import reward_model as reward_model
    from banditlab.didactic import settings as settings
    from banditlab.didactic import training as training

__all__ = [
    "kl_descent",
    "losses",
    "pair_steps",
    "policies",
    "population",
    "problem",
    "reward_model",
    "settings",
    "training",
]

__getattr__, __dir__ = _attributes(__name__, __all__, shown=__all__)
