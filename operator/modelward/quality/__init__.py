"""What a model is worth, by outcomes: the Job that finds out, what it said, and the rules for it. Pure."""
