"""``python3 -m lmkd``: the same as the console script."""

from lmkd.cli.main import entry

if __name__ == "__main__":
    entry()
