"""Numerical kernels that know nothing of preferences: counts, factorisations, how things are compiled."""
