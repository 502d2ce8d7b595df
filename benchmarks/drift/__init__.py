"""The drift kernel: what counting costs, and whether the budget of false alarms is kept."""
