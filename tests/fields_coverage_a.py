"""One number to set for each of half the experiments of family coverage, and the prediction that follows it."""

CHANGES = {
    "data_reuse": ("beta=0.5", "ideal"),
    "sample_complexity": ("beta=0.5", "predicted"),
}
