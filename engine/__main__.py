"""``python -m engine …``: the command line."""

import sys

from engine.paths import BadEnvironment, keep_quiet

try:
    keep_quiet()  # before flwr is imported
    from engine.cli.main import main
except BadEnvironment as mistake:
    sys.stderr.write(f"error: {mistake}\n")
    sys.exit(2)
main()
