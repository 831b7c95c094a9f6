"""The options of the command line, and the presets that fill in what was not given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from banditlab.command.arguments import one_of, place, real, truth, whole
from banditlab.llm.algorithms import METHODS
from banditlab.llm.tasks import TASKS

# A few seconds on two cores; about a minute; and sizes for an accelerator or a night.
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"num_rounds": 3, "num_pairs": 128, "batch_size": 64, "pretraining_steps": 100}
    | {"width": 16, "num_layers": 1, "num_heads": 2, "hidden_width": 32},
    "default": {"num_rounds": 8, "num_pairs": 2048, "batch_size": 256, "pretraining_steps": 1000}
    | {"width": 64, "num_layers": 2, "num_heads": 4, "hidden_width": 128},
    "paper": {"num_rounds": 32, "num_pairs": 8192, "batch_size": 1024, "pretraining_steps": 4000}
    | {"width": 128, "num_layers": 4, "num_heads": 8, "hidden_width": 256},
}
COMMON: dict[str, Any] = {
    "num_epochs": 2,
    "learning_rate": 1e-3,
    "compute_dtype": "float32",
    "pretraining_batch_size": 256,
    "pretraining_learning_rate": 3e-3,
}
# What the help calls a value that was not given.
_PRESET, _TASK, _METHOD = "preset", "task", "method"


@dataclass(frozen=True)
class Options:
    """Train one method on one task, every quantity measured exactly after every round.

    Writes DIR/metrics.jsonl (a line per round; round 0 is the reference), DIR/config.json and checkpoints. The same
    command again goes on where the last one stopped, to the bit; with a larger --num-rounds it goes further.
    """

    task: Annotated[str, one_of("--task", tuple(TASKS), "")] = "habit_target"
    """What to learn."""
    method: Annotated[str, one_of("--method", tuple(METHODS), "")] = "on_policy_dpo"
    """How to learn it."""
    preset: Annotated[str, one_of("--preset", tuple(PRESETS), "")] = "default"
    """Size of decoder, pretraining and run, each of which an option of its own overrides."""
    out: Annotated[Path | None, place("--out", "results/llm/TASK-METHOD-PRESET-SEED", kind="DIR")] = None
    """DIR for all that is written."""
    seed: Annotated[int, whole("--seed", "")] = 0
    """Of the method's run."""
    reference_seed: Annotated[int, whole("--reference-seed", "")] = 0
    """Of the reference's first parameters and its pretraining: runs that share it share the reference."""

    num_rounds: Annotated[int | None, whole("--num-rounds", _PRESET)] = None
    """Rounds of drawing labels and fitting them."""
    num_pairs: Annotated[int | None, whole("--num-pairs", _PRESET)] = None
    """Labels bought per round."""
    num_epochs: Annotated[int | None, whole("--num-epochs", "2")] = None
    """Passes of Adam over a round's labels."""
    batch_size: Annotated[int | None, whole("--batch-size", _PRESET)] = None
    """Pairs per step of Adam; divides the labels of a round."""
    learning_rate: Annotated[float | None, real("--learning-rate", "0.001")] = None
    """Adam's."""
    pretraining_steps: Annotated[int | None, whole("--pretraining-steps", _PRESET)] = None
    """Steps of maximum likelihood on the task's corpus, which make the reference."""
    pretraining_batch_size: Annotated[int | None, whole("--pretraining-batch-size", "256")] = None
    """Corpus responses per step."""
    pretraining_learning_rate: Annotated[float | None, real("--pretraining-learning-rate", "0.003")] = None
    """Adam's at the first step; it falls to zero."""

    width: Annotated[int | None, whole("--width", _PRESET)] = None
    """Of the decoder's residual stream."""
    num_layers: Annotated[int | None, whole("--num-layers", _PRESET)] = None
    """Blocks of the decoder."""
    num_heads: Annotated[int | None, whole("--num-heads", _PRESET)] = None
    """Attention heads."""
    num_key_value_heads: Annotated[int | None, whole("--num-key-value-heads", "num-heads")] = None
    """Key and value heads; fewer than heads is grouped-query attention."""
    hidden_width: Annotated[int | None, whole("--hidden-width", _PRESET)] = None
    """Of the decoder's MLP."""
    context_length: Annotated[int | None, whole("--context-length", "prompt+response")] = None
    """Tokens the decoder is made for."""
    compute_dtype: Annotated[str | None, one_of("--compute-dtype", ("float32", "bfloat16"), "float32")] = None
    """Of the decoder's matrix products."""

    num_symbols: Annotated[int | None, whole("--num-symbols", _TASK)] = None
    """Vocabulary of the task; in length tasks with the end token."""
    response_length: Annotated[int | None, whole("--response-length", _TASK)] = None
    """Tokens of a response; in length tasks the most."""
    num_prompts: Annotated[int | None, whole("--num-prompts", _TASK)] = None
    """Prompts of the task."""
    beta: Annotated[float | None, real("--beta", _TASK)] = None
    """Temperature of the KL penalty."""
    task_seed: Annotated[int | None, whole("--task-seed", _TASK)] = None
    """habit-target, coverage-dial: of its habits and targets."""
    corpus_noise: Annotated[float | None, real("--corpus-noise", _TASK)] = None
    """habit-target, coverage-dial: chance that the corpus draws a position's symbol at random."""
    match_reward: Annotated[float | None, real("--match-reward", _TASK)] = None
    """habit-target: reward of a position that matches."""
    target_prob: Annotated[float | None, real("--target-prob", _TASK)] = None
    """coverage-dial: pi*'s probability of the target at a position, whatever the corpus."""
    slope: Annotated[float | None, real("--slope", _TASK)] = None
    """Length tasks: reward lost per symbol away from the best length."""
    mode: Annotated[float | None, real("--mode", _TASK)] = None
    """min-length, mode-length: commonest length of the corpus."""
    spread: Annotated[float | None, real("--spread", _TASK)] = None
    """min-length, mode-length: of the corpus's lengths."""
    hazard: Annotated[float | None, real("--hazard", _TASK)] = None
    """skew-length: the corpus's chance to end at every step."""
    wanted: Annotated[float | None, real("--wanted", _TASK)] = None
    """skew-length: the best length."""

    oracle: Annotated[str | None, one_of("--oracle", ("bradley_terry", "reward", "learned"), _METHOD)] = None
    """Who labels: Bradley-Terry labels of the reward, the reward itself, or a reward model learned from labels."""
    fresh: Annotated[bool | None, truth("--fresh", _METHOD)] = None
    """New pairs every round, or one fixed set reused (offline methods)."""
    on_policy: Annotated[bool | None, truth("--on-policy", _METHOD)] = None
    """reward-distillation: whether the current policy draws the pairs."""
    label_noise: Annotated[float | None, real("--label-noise", _METHOD)] = None
    """reward-distillation: standard deviation of the noise on a reward difference."""
    penalty: Annotated[float | None, real("--penalty", "0.1")] = None
    """hypo: weight of KL(pi || pi_ref) beside the mean loss."""
    num_samples: Annotated[int | None, whole("--num-samples", _METHOD)] = None
    """hypo: draws per prompt and step for the gradient of the KL."""
    num_kl_prompts: Annotated[int | None, whole("--num-kl-prompts", _METHOD)] = None
    """hypo: prompts of a batch that get such draws; all of them where not given."""
    num_candidates: Annotated[int | None, whole("--num-candidates", _METHOD)] = None
    """hybrid-dpo: candidates per prompt from the reference, and as many from the policy."""
    scheme: Annotated[str | None, one_of("--scheme", ("design", "paired", "mixture"), _METHOD)] = None
    """hybrid-dpo: how pairs are drawn from the candidates."""
