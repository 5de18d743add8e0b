"""``python -m engine.answering``: the process that answers; the lab starts it by itself."""

import logging

from engine.paths import keep_quiet

keep_quiet()  # before flwr is imported

from engine.answering.server import serve  # noqa: E402

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve()
