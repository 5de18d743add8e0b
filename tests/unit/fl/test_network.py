"""What faces a network: the fleet's interface alone, and who may use it."""

import socket
import ssl
import stat
import threading

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from engine.fl.runtimes.credentials import are_valid, make_certificates, make_key
from engine.fl.runtimes.front import proxy


@pytest.fixture
def reached():
    """The paths, bodies and headers that have come to the SuperLink."""
    return []


@pytest.fixture
def network(tmp_path, reached):
    """A client of the front; behind it an echo in place of the SuperLink."""
    make_certificates(tmp_path)

    async def echo(request):
        body = await request.body()
        reached.append((request.url.path, body, dict(request.headers)))
        return Response(b"got " + body, status_code=201, headers={"x-flower": "yes"})

    inside = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST"])])
    app = proxy("127.0.0.1:1", tmp_path / "ca.crt")
    with TestClient(app) as client:
        transport = httpx.ASGITransport(inside)
        app.state.superlink = httpx.AsyncClient(transport=transport, base_url="http://inside")
        yield client


def test_the_front_passes_a_supernodes_calls_on(network, reached):
    reply = network.post("/v1/fleet/pull-messages", content=b"\0\1", headers={"x-signature": "s"})
    assert (reply.status_code, reply.content, reply.headers["x-flower"]) == (
        201,
        b"got \0\1",
        "yes",
    )
    [(path, body, headers)] = reached
    assert (path, body, headers["x-signature"]) == ("/v1/fleet/pull-messages", b"\0\1", "s")


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/control/start-run", "/v1/runtime/acquire-task", "/v1/control/register-node"),
        *("/health", "/", "/docs", "/openapi.json", "/v1/fleet", "/v1/fleet/"),
        *("/v1/fleet/../control/start-run", "/v1/fleet/%2e%2e/control/start-run"),
        *("/v1/fleet/..%2fcontrol%2fstart-run", "//v1/control/start-run", "/V1/FLEET/x"),
        *("/v1/fleet/a/../../runtime/acquire-task", "/v1/fleet/x?path=/v1/control/start-run"),
    ],
)
def test_the_front_passes_nothing_else_on(path, network, reached):
    raw = httpx.URL(f"http://testserver{path}")
    assert network.post(raw, content=b"code").status_code == 404
    assert network.get(raw).status_code in (404, 405)
    assert reached == []


def test_a_server_is_trusted_by_its_authority_alone_and_under_its_names(tmp_path):
    make_certificates(tmp_path, ["lab.example", "10.1.2.3"])
    make_certificates(tmp_path / "stranger")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")

    def greet(authority, name):
        client, inside = socket.socketpair()
        client.settimeout(5)

        def serve():
            try:
                server.wrap_socket(inside, server_side=True).close()
            except OSError:
                inside.close()

        thread = threading.Thread(target=serve)
        thread.start()
        context = ssl.create_default_context(cafile=str(authority))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        try:
            with context.wrap_socket(client, server_hostname=name):
                pass
        finally:
            client.close()
            thread.join()

    for name in ("127.0.0.1", "localhost", "lab.example", "10.1.2.3"):
        greet(tmp_path / "ca.crt", name)
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(tmp_path / "ca.crt", "another.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(tmp_path / "stranger" / "ca.crt", "localhost")


def test_certificates_are_kept_for_as_long_as_they_fit(tmp_path):
    assert not are_valid(tmp_path, [])
    make_certificates(tmp_path, ["lab.example"])
    assert are_valid(tmp_path, ["127.0.0.1", "lab.example"])
    assert not are_valid(tmp_path, ["another.example"])


def test_private_files_are_for_their_owner_alone(tmp_path):
    make_certificates(tmp_path)
    make_key(tmp_path / "sites" / "site-0")
    for private in (tmp_path / "server.key", tmp_path / "sites" / "site-0"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = load_ssh_private_key((tmp_path / "sites" / "site-0").read_bytes(), None)
    public = (tmp_path / "sites" / "site-0.pub").read_bytes()
    assert public.startswith(b"ecdsa-sha2-nistp384 ") and key.curve.name == "secp384r1"
    assert not list(tmp_path.glob("ca.key")), "nobody can vouch for another server"
