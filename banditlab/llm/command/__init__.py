"""What `python -m banditlab.llm` does: one method on one task, saved after every round."""
