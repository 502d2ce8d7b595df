"""Verdicts on windows. Pure; the kernel is modelward_drift."""
