"""Features from a feature store: requests bring keys of entities, and the model gets what the store has of them."""
