"""A real API server without nodes, and what stands in for them: shared by the api, chaos and scale tiers."""
