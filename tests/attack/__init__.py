"""Attacks on the product's own processes, each judged by what it did; `make attack` runs them all."""
