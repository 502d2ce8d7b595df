"""What stable and candidate did, counted and compared."""
