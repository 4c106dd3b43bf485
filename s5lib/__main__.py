"""``s5lib`` and ``python -m s5lib``: the command line, or the pip command for what it lacks."""

import sys

__all__ = ["main"]


def main() -> int:
    """Run ``cli.main``, which needs the extra ``cli``."""
    try:
        from s5lib import cli
    except ImportError as error:
        print(f"s5lib: {error}\nThe command line needs: pip install 's5lib[cli]'", file=sys.stderr)
        return 1
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
