"""What a model is, as its artifact was reported, and which formats may be loaded."""
