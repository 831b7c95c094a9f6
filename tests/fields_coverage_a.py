"""One number to set for each of half the experiments of family coverage, and the prediction that follows it."""

CHANGES = {
    "data_reuse": ("beta=0.5", "ideal"),
    "sample_complexity": ("beta=0.5", "predicted"),
    "phase_diagram": ("beta=1.5", "exact.exact_success"),
    "exact_gradient_dynamics": ("betas=[2.0,1.0,0.7]", "constant_step.rate"),
    "pessimism": ("max_norm=1.5", "simulated.exact"),
    "offline_lower_bound": ("beta=0.5", "bayes_risk.bound"),
}
