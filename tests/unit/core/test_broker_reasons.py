"""Why a connection was not opened is said in words that name the next step, and never in the broker's own."""

import socket
import ssl

import pytest
from pika import URLParameters
from pika.adapters.utils.connection_workflow import (
    AMQPConnectionWorkflowFailed,
    AMQPConnectorSocketConnectError,
    AMQPConnectorTransportSetupError,
)
from pika.exceptions import (
    AMQPConnectionError,
    ConnectionBlockedTimeout,
    IncompatibleProtocolError,
    ProbableAuthenticationError,
)

from pipeline.broker.port import BrokerAwayError
from pipeline.broker.rabbitmq_link import Link
from pipeline.broker.rabbitmq_reasons import reason_of
from tests.support.ports import free_port


def workflow(fault: BaseException) -> BaseException:
    """Wrap a fault as pika's connection workflow does."""
    return AMQPConnectionWorkflowFailed([fault])


def mistrusted(said: str) -> BaseException:
    fault = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {said}")
    return workflow(AMQPConnectorTransportSetupError(fault))


def alert(name: str) -> BaseException:
    # What comes after a TLS 1.3 handshake is all that pika keeps, as text.
    return IncompatibleProtocolError(
        f"The protocol returned by the server is not supported: SSLError(1, '[SSL: {name}]')"
    )


CASES = [
    (
        AMQPConnectionError(
            workflow(AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "Connection refused")))
        ),
        "nothing listens",
    ),
    (workflow(socket.gaierror(-2, "Name or service not known")), "name is not known"),
    (workflow(TimeoutError("timed out")), "no answer"),
    (mistrusted("self-signed certificate in certificate chain"), "broker.ca_file"),
    (mistrusted("unable to get local issuer certificate"), "broker.ca_file"),
    (mistrusted("certificate has expired"), "clock of this machine"),
    (mistrusted("certificate is not yet valid"), "clock of this machine"),
    (mistrusted("Hostname mismatch, certificate is not valid for 'h'."), "another host"),
    (alert("SSLV3_ALERT_CERTIFICATE_REVOKED"), "was revoked"),
    (alert("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "our certificate has ended"),
    (alert("TLSV1_ALERT_UNKNOWN_CA"), "who signed our certificate"),
    (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"), "wants a certificate of ours"),
    (ProbableAuthenticationError("canary"), "no user of our name"),
    (ConnectionBlockedTimeout("Blocked connection timeout expired."), "memory or disk has run out"),
    (IncompatibleProtocolError("canary"), "no broker"),
    (IncompatibleProtocolError("StreamLostError: ('Transport indicated EOF',)"), "certificate was revoked or"),
    (RuntimeError("canary"), "RuntimeError"),
]


@pytest.mark.parametrize(("fault", "part"), CASES, ids=[part for _, part in CASES])
def test_each_cause_has_its_own_sentence(fault: BaseException, part: str) -> None:
    said = reason_of(fault)
    assert part in said
    assert "canary" not in said


def test_where_nothing_listens_the_host_and_the_port_are_named_and_no_password() -> None:
    port = free_port()
    with pytest.raises(BrokerAwayError) as away:
        Link(URLParameters(f"amqp://u:canary@127.0.0.1:{port}/"), lambda _channel, ready: ready(), lambda: None)
    assert str(away.value) == f"the broker is away (127.0.0.1:{port}: nothing listens at this port)"
