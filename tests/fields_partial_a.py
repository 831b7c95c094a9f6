"""One field of each experiment's configuration to set, and the prediction in its table that follows it."""

CHANGES = {
    "reward_accuracy": ("betas=[0.5]", "gap_exact"),
    "fair_fight": ("beta=0.7", "dpo.frontier"),
}
