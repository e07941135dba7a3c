"""Run the command line with ``python -m tilecore``."""

from tilecore.cli.main import main

if __name__ == "__main__":
    main()
