"""What judges a candidate."""
