"""`python -m modelward`: the operator."""

from modelward.app import main

main()
