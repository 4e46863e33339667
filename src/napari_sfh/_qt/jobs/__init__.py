"""Long work in threads, and what it does."""
