"""A field of every experiment on a language model, and a column of predictions that setting it changes."""

# name: ("field=value", "part.column")
CHANGES = {
    "llm_on_policy": ("setup.beta=1.0", "reference.optimum"),
    "llm_batch_size": ("setup.beta=1.0", "ends.reference_gap"),
    "llm_epochs": ("setup.beta=1.0", "reference.gap"),
    "llm_coverage_dial": ("setup.beta=1.0", "reference.optimum"),
    "llm_hypo": ("setup.beta=1.0", "reference.gap"),
    "llm_distillation": ("setup.beta=1.0", "reference.optimum"),
    "llm_hybrid": ("setup.beta=1.0", "reference.optimum"),
    "llm_estimates": ("setup.beta=1.0", "reference.closed_optimum"),
}
