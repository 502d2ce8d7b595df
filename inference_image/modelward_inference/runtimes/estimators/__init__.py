"""Fitted estimators, whatever library grew them: what they take, and rows and thresholds for them."""
