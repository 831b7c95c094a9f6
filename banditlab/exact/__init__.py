"""Exact laws in NumPy and SciPy alone: the independent side of the checks. Nothing of the library is imported here."""
