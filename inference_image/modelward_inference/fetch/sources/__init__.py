"""The places that artifacts come from, a kind of address a file, and how each is asked."""
