"""banditlab: a theory-validation simulator for preference learning in contextual bandits."""

__version__ = "0.1.0"
