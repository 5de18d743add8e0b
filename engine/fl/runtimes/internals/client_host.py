"""A client's process beside its SuperNode (``--isolation process``), with the model kept at hand.

Flower starts a process for every message, which loads torch and the model anew. This one takes the
SuperNode's tasks one after another and answers them with the lab's ClientApp, never with code that
came over the network::

    python -m engine.fl.runtimes.internals.client_host --supernode 127.0.0.1:9094 --secret FILE

It speaks Flower's internal protocol between a SuperNode and its executors.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.protobuf.client import ProtobufClientInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from engine.fl.flower.client_app import app

log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_SIGNED = frozenset({"/flwr.proto.Runtime/AcquireTask"})


def serve(supernode: str, secret: bytes) -> None:
    """Answer what a SuperNode is asked, for ever."""
    signed = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods=_SIGNED)
    tasks = _connect(supernode, "SuperExec", signed)
    request = AcquireTaskRequest(supported_task_types={TaskType.CLIENT_APP})
    while True:
        task = tasks.AcquireTask(request)
        if task.token:
            _answer(supernode, task.token)
        else:
            time.sleep(_POLL_SECONDS)


def _answer(supernode: str, token: str) -> None:
    """Answer one message; the app turns its own faults into replies."""
    node = _connect(supernode, "flwr-clientapp", RuntimeTokenHttpInterceptor(token))
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(node))
    heartbeat.start()
    try:
        message, context, _, _ = pull_task_input(node)
        start = time.perf_counter()
        reply = app(message=message, context=context)
        log.info("%s: %.2f s", message.metadata.message_type, time.perf_counter() - start)
        push_message(node, reply, context)
        push_task_output(node, context, SubStatus.COMPLETED, "")
    finally:
        heartbeat.stop()
        node.close()


def _connect(
    supernode: str, component: str, interceptor: ProtobufClientInterceptor
) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        server_address=supernode,
        insecure=True,  # on this machine
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name=component), interceptor],
        retry_invoker=make_simple_http_retry_invoker(),
    )


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A client's process beside its SuperNode.")
    parser.add_argument("--supernode", required=True, help="its Runtime API, HOST:PORT")
    parser.add_argument("--secret", required=True, type=Path, help="the file that both have")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    serve(arguments.supernode, arguments.secret.read_bytes())


if __name__ == "__main__":
    main()
