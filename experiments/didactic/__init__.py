"""Didactic bandits: on-policy data, sample reuse, negative gradients and mode seeking, where all can be computed."""
