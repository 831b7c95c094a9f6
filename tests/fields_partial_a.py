"""One field of each experiment's configuration to set, and the prediction in its table that follows it."""

CHANGES = {
    "attainability": ("betas=[2.0]", "dpo.predicted"),
    "one_sided_data": ("betas=[0.3, 0.6]", "critical.predicted"),
    "who_wins": ("beta=0.7", "learners.crossing"),
    "gap_bound": ("left_out=[0.02, 0.01, 0.001]", "small_balls.predicted"),
    "reward_accuracy": ("betas=[0.5]", "gap_exact"),
    "fair_fight": ("beta=0.7", "dpo.frontier"),
}
