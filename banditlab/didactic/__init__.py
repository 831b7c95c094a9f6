"""Didactic bandits: known rewards on a line of actions, many fine-tuning losses, tabular and neural policies
(Tajwar et al. 2024; docs/theory.md, section 8). Start at `training.train`."""
