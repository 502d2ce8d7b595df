"""The command line for people: `modelward`, and `kubectl modelward`. It asks by kubectl, with its user's rights.

It hangs on the standard library alone, so that it can be installed wherever kubectl is.
"""

__version__ = "0.1.0"
