"""The label planner behind `banditlab plan`: reading comparisons, the report, its figure and files."""
