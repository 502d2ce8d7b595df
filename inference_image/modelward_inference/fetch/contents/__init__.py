"""What was brought: which of several files is the model, and what lies beside it."""
