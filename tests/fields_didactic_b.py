"""One field to set of each experiment, at its smoke preset, and a prediction that it moves."""

CHANGES = {
    "on_policyness": ("num_samples=5", "bandits.best_of_n"),
    "sample_reuse": ("first_rate=1.5", "first_step.predicted"),
    "reward_kl_frontier": ("beta=0.2", "limits.reward"),
    "reward_model_labels": ("temperature=0.5", "fits.agreement_predicted"),
    "neural_headline": ("num_samples=5", "bandits.best_of_n"),
}
