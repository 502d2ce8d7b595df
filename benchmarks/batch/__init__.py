"""What a batch costs beside scikit-learn's own predict, how much memory it takes, and what kills cost it."""
