"""Before a run: what the files are, whether they overlap, how long it will take and how much memory."""
