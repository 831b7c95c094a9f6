"""How the figures show an algorithm: the colour and marker of a key of `plotting.COLORS`, and its name."""

LOOKS = {
    "best_of_n": ("on_policy", "Best-of-N"),
    "best_of_n_negative": ("on_policy_pooled", "Best-of-N, neg."),
    "best_of_n_worst": ("rlhf", "Best-of-N, worst"),
    "pref_ft": ("design", "Pref-FT"),
    "dpo": ("dpo", "DPO"),
    "ipo": ("ipo", "IPO"),
    "rwr": ("hybrid_paired", "RWR"),
    "awr": ("design_one_round", "AWR"),
    "reinforce": ("oracle", "REINFORCE"),
    "reinforce_running": ("hybrid_mixture", "running mean"),
    "ppo": ("reward_distillation", "PPO"),
    "ppo_unclipped": ("hybrid_design", "PPO, no clip"),
}
