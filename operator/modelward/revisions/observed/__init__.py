"""What the cluster holds of a model's revisions, as facts."""
