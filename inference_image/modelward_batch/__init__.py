"""Batches: a data set scored by the model that is served, in as many pods as one wants, each row once."""
