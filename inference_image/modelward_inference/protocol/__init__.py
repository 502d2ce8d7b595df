"""Requests and answers of the inference protocols, free of any transport."""
