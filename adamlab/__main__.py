"""python -m adamlab: the command `adamlab`."""

from adamlab.cli import main

if __name__ == "__main__":
    main()
