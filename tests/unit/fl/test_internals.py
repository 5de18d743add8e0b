"""What the lab uses of Flower beside its public interfaces: this fails where that changes."""

import inspect
import re

from flwr.supernode import start_client_internal as loop

from engine.fl.runtimes.internals import client_host, supernode


def test_a_client_host_speaks_as_flowers_own_process_does():
    source = inspect.getsource(inspect.getmodule(client_host.pull_task_input).run_clientapp)
    for call in (
        "make_simple_http_retry_invoker()",
        'RuntimeVersionHttpInterceptor(component_name="flwr-clientapp")',
        "RuntimeTokenHttpInterceptor(token)",
        "HeartbeatSender(make_task_heartbeat_fn_http(client))",
        "message, context, run, fab = pull_task_input(client)",
        "reply_message = client_app(message=message, context=context)",
        "push_message(client, reply_message, context)",
    ):
        assert call in source, call
    assert list(inspect.signature(client_host.push_task_output).parameters) == [
        *("client", "context", "sub_status", "details"),
    ]


def test_a_supernode_only_sleeps_by_the_clock_that_is_replaced(monkeypatch):
    assert set(re.findall(r"\btime\.(\w+)\(", inspect.getsource(loop))) == {"sleep"}
    assert inspect.getsource(loop).count("time.sleep(3)") == 1
    slept = []
    monkeypatch.setattr(supernode.time, "sleep", slept.append)
    monkeypatch.setattr(supernode, "flower_supernode", lambda: loop.time.sleep(3))
    monkeypatch.setattr(loop, "time", loop.time)
    supernode.main()
    assert slept == [0.2]
