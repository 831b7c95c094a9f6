"""How the figures on sampling show a method: the colour and marker of a key of `plotting.COLORS`, and its name."""

from experiments.didactic import method_looks

LOOKS = {
    **method_looks.LOOKS,
    "ppo": ("reward_distillation", "PPO"),
    "ppo_unclipped": ("hybrid_design", "PPO, no clip"),
}
