"""A router of the model's own: Envoy, its configuration and its objects."""
