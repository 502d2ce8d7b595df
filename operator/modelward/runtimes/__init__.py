"""Servers of models, by what the operator has to know of one. Pure."""
