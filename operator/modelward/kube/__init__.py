"""The API server: every read, watch and write, and what all objects of ours have in common."""
