"""The cluster that `make demo`, the tests and developers use: kind where Docker answers, else one node without Docker.

Standard library only: it runs before any virtual environment exists. `python3 -m localcluster --help` lists the verbs.
"""
