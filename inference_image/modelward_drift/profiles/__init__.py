"""What a reference is: one profile a feature, its bins frozen."""
