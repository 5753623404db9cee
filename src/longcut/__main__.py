"""The command line, as `python -m longcut`."""

from longcut.cli import main

if __name__ == "__main__":
    main()
