"""Rows by which a served form is held against its original."""
