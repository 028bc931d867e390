"""`python -m salmonn_mini` is the command `salmonn-mini`."""

import sys

from salmonn_mini.cli import main

if __name__ == "__main__":
    sys.exit(main())
