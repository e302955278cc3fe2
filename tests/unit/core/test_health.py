"""Does the health server keep to its lines?"""

import socket
import struct

from pipeline.health import HealthServer


def test_a_caller_that_hangs_up_leaves_no_trace_in_the_log(capfd) -> None:
    server = HealthServer("127.0.0.1", 0, [])
    server.start()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as caller:
            # Close with a reset, before anything is asked: reading fails at the other end.
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_connection(("127.0.0.1", server.port)) as last:
        last.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        while last.recv(4096):
            pass
    server.stop()
    assert "Traceback" not in capfd.readouterr().err
