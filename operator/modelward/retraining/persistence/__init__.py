"""What is kept of runs and of policies: objects and annotations in the API server, written and read."""
