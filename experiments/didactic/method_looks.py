"""How the figures show an algorithm: the colour and marker of a key of `plotting.COLORS`, and its name."""

LOOKS = {
    "best_of_n": ("on_policy", "Best-of-N"),
    "best_of_n_negative": ("on_policy_pooled", "Best-of-N, neg."),
    "pref_ft": ("design", "Pref-FT"),
    "dpo": ("dpo", "DPO"),
    "ipo": ("ipo", "IPO"),
    "rwr": ("hybrid_paired", "RWR"),
    "reinforce": ("oracle", "REINFORCE"),
}
