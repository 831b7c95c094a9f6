"""Benchmarks: `python -m benchmarks` prints every ratio of the README, measured in one process."""
