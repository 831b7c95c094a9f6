"""The small decoders and tasks that the language-model tests share."""

import jax
import jax.numpy as jnp
import numpy as np

from banditlab import llm

SMALL = {"width": 16, "num_layers": 2, "num_heads": 4, "hidden_width": 12}
PROMPTS = llm.pad_prompts([[1, 2, 0], [3], [2, 2], [0, 3]])
LENGTH = 3


def perturbed(config, seed=0):
    """Random parameters with no scale at one and no bias at zero, of the shapes that `init` gives."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        names = [str(step.key) for step in path]
        centre = float(names[-1] == "scale")
        spread = 0.3 if names[-1] in ("scale", "bias") else (0.7 if "embedding" in names else 0.35)
        return jnp.asarray(centre + spread * rng.normal(size=leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(
        draw, jax.eval_shape(lambda k: llm.decoder.init(k, config), jax.random.key(0))
    )


CONFIG = llm.DecoderConfig(4, 6, **SMALL, num_key_value_heads=2)
MODEL = llm.LanguageModel(CONFIG, LENGTH, eos=3)
PARAMS = perturbed(CONFIG)

# A task of 16 responses, to train on.
TINY = llm.tasks.habit_target(num_symbols=4, length=2, num_prompts=3)
LEARNER = llm.EnumerableModel(llm.DecoderConfig(4, 3, **SMALL), 2, prompts=TINY.prompts)
