"""A real server that speaks AWS's protocols, for tests."""
