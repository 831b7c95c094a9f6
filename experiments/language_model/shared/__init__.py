"""What several of the language model's experiments use: references, training runs, and curves over rounds."""
