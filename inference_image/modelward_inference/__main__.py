"""`python -m modelward_inference fetch|serve|save`."""

import sys

from modelward_inference.cli import main

if __name__ == "__main__":
    sys.exit(main())
