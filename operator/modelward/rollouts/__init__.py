"""How a new revision takes over: strategies, steps and decisions."""
