"""A number to set at the smoke preset of each experiment, and a prediction that it must change."""

CHANGES = {
    "population_losses": ("numbers.beta=0.5", "growth.predicted"),
    "negative_gradient": ("num_samples=4", "ceiling.reward"),
    "probability_floor": ("learning_rate=0.2", "rejected.predicted"),
    "likelihood_displacement": ("peak=20.0", "closed.predicted_start"),
    "kl_directions": ("num_bins=8", "share.predicted"),
}
