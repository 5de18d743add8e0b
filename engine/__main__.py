"""``python -m engine …``: the command line."""

from engine.paths import keep_quiet

keep_quiet()

from engine.cli.main import main  # noqa: E402 - the environment must be set before flwr is imported

main()
