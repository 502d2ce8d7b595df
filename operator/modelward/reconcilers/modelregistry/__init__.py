"""ModelRegistries: asked, and told of."""
