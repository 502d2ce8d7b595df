"""What is counted of arrivals, and how it changes with each: values and pure functions."""
