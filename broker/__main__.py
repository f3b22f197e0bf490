"""`python -m broker` and the command `leveret`."""

import sys

from broker import cli


def main() -> int:
    """Run the command line and return its exit code."""
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
