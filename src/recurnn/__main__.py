"""``python -m recurnn`` is the command ``recurnn``."""

from recurnn.cli import main

if __name__ == "__main__":
    main()
