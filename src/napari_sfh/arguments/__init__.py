"""What is handed to the public functions, held against their annotations before any work begins."""
