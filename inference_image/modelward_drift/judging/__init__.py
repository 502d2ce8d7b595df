"""From counts to verdicts: statistics, significance, budgets, causes."""
