"""How figures show an algorithm: one colour, one marker and one name each, in every family of claims.

The keys that one claim compares lie at least `colours.LEAST_DISTANCE` apart for eyes of every kind, and all of them
show on white; a test holds both.
"""

import numpy as np

from banditlab.plotting.colours import MARK_CONTRAST, channels, contrast, darkened, hexadecimal

SAMPLERS = {
    "offline": ("#d55e00", "o", "offline"),
    "on_policy": ("#0072b2", "s", "on-policy, fresh"),
    "on_policy_pooled": ("#3a9ad9", "D", "on-policy, pooled"),
    "uniform": ("#7f7f7f", "X", "uniform"),
    "design": ("#b67b3b", "^", "design"),
    "design_one_round": ("#865f1f", "*", "design, one round"),
    "hybrid_paired": ("#18724e", "v", "hybrid, paired"),
    "hybrid_mixture": ("#a03979", "P", "hybrid, mixture"),
    "hybrid_design": ("#151f83", "<", "hybrid, design"),
    "mix_r": ("#b2623f", "p", "Mix-R"),
    "mix_p": ("#780000", ">", "Mix-P"),
    "pilaf": ("#981645", "h", "PILAF"),
    "xpo": ("#0a486c", "H", "XPO"),
}
LEARNERS = {
    "dpo": ("#d673a8", "o", "DPO"),
    "ipo": ("#9f388b", "H", "IPO"),
    "hypo": ("#791b5e", ">", "HyPO"),
    "rlhf": ("#3d9368", "p", "RLHF"),
    "chi_po": ("#06672e", "8", r"$\chi$PO"),
    "pessimistic": ("#587c35", "v", "pessimistic"),
    "reward_distillation": ("#655d00", "h", "reward distillation"),
}
DIDACTIC = {
    "best_of_n": ("#407549", "s", "Best-of-N"),
    "best_of_n_negative": ("#6d8d31", "D", "Best-of-N, negative"),
    "best_of_n_worst": ("#025733", "p", "Best-of-N, worst"),
    "pref_ft": ("#bc8a17", "^", "Pref-FT"),
    "rwr": ("#6381f1", "v", "RWR"),
    "awr": ("#2c3cd1", "*", "AWR"),
    "reinforce": ("#541314", "X", "REINFORCE"),
    "reinforce_running": ("#ea5982", "P", "REINFORCE, running mean"),
    "ppo": ("#8459f7", "h", "PPO"),
    "ppo_unclipped": ("#461590", "<", "PPO, no clip"),
}
EVERYWHERE = {
    "reference": ("#4a4a4a", "|", "reference"),
    "oracle": ("#000000", "d", "oracle"),
}
_LOOKS = SAMPLERS | LEARNERS | DIDACTIC | EVERYWHERE
COLORS = {key: look[0] for key, look in _LOOKS.items()}
MARKERS = {key: look[1] for key, look in _LOOKS.items()}
LABELS = {key: look[2] for key, look in _LOOKS.items()}


def shades(key: str, count: int) -> list[str]:
    """``count`` shades of the algorithm's colour, light to dark, for one algorithm at several settings.

    The lightest still shows on white. Up to five are told apart without markers.
    """
    require_key(key)
    if count == 1:
        return [COLORS[key]]
    own = channels(COLORS[key])
    whiter = (hexadecimal(own + (1 - own) * share) for share in np.linspace(0.9, 0, 91))
    light = next(shade for shade in whiter if contrast(shade) >= MARK_CONTRAST)
    # Even steps of the lightness L*, from that of the least contrast nearly to black's; ((L* + 16)/116)^3 is the
    # luminance Y, and (1 + 0.05)/(Y + 0.05) the contrast on white.
    lightest = 116 * np.cbrt(1.05 / MARK_CONTRAST - 0.05) - 16
    luminances = ((np.linspace(lightest, 4.0, count) + 16) / 116) ** 3
    return [darkened(light, max(MARK_CONTRAST, 1.05 / (y + 0.05))) for y in luminances]


def require_key(key: str) -> None:
    """ValueError unless ``key`` is one of COLORS."""
    if key not in COLORS:
        raise ValueError(f"key must be one of {', '.join(COLORS)}; got {key!r}")
