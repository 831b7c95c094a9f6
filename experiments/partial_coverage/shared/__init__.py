"""Kits that several experiments of the family use: bandits without features, the curvature of a reward's likelihood."""
