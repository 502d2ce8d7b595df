"""Registries of models: what a reference such as models:/fraud@champion means now."""
