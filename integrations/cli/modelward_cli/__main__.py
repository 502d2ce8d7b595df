"""`python -m modelward_cli`."""

import sys

from modelward_cli.main import main

sys.exit(main())
