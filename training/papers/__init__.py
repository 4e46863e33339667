"""The published systems against this project's: their printed numbers, their figures, and studies of their choices."""
