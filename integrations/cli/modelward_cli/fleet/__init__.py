"""ModelDeployments, and what is told of each: its rollout, its drift, its last run."""
