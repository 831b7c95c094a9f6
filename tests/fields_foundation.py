"""A field to set for each claim of the foundation, and a column of predictions that then changes."""

CHANGES = {
    "staircase": ("step=0.4", "environment.price_start"),
    "random_features": ("num_features=3", "environment.price_start"),
    "batch_threshold": ("step=0.4", "curves.floor"),
    "hybrid_two_rounds": ("num_stairs=4", "designs.rank"),
    "floor_constants": ("target=0.5", "remainder.predicted"),
    "coverage_improvement": ("rarity=5.0", "extremal.bound"),
    "exact_chain": ("target=1.5", "kl_exact"),
}
