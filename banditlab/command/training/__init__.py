"""The verb `llm train`: one method on one task, saved after every round."""
