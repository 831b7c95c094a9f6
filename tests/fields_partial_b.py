"""One field of each claim to set at the smoke preset, and a column of predictions that it changes."""

CHANGES = {
    "label_scaling": ("reward=1.2", "curves.price"),
    "coverage_functions": ("spans=[0.2, 2.0]", "spans.largest_divergence"),
    "extrapolation": ("target=1.2", "spanned.predicted"),
    "unseen_mass": ("beta=0.7", "dpo.predicted"),
    "null_test": ("beta=0.8", "bounded.least"),
    "estimator_facts": ("num_samples=[3]", "enumerated.predicted"),
}
