"""One number to set for each of half the experiments of family coverage, and the prediction that follows it."""

CHANGES = {
    "reward_distillation": ("ramp_beta=0.5", "teacher.bias_kl"),
    "function_classes": ("beta=0.5", "version_spaces.failure_exact"),
    "design_comparison": ("beta=1.5", "rounds.price"),
    "sampler_ranking": ("beta=1.5", "price"),
    "misspecification": ("beta=2.0", "ends.pseudo_true_kl"),
}
