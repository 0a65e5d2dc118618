"""Entry point of `python -m semideep_ext`."""

import sys

from semideep_ext.cli import main

sys.exit(main())
