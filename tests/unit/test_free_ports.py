"""Ports for servers on loopback: nobody else may come to hold them before they listen."""

from __future__ import annotations

import socket

from app.native.child import free_port

EPHEMERAL_FROM = 32_768
"""The kernel gives outgoing connections ports from here on (ip(7), ip_local_port_range)."""


def test_no_port_is_given_twice_and_none_can_become_an_outgoing_connection() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)
    assert all(1024 < port < EPHEMERAL_FROM for port in ports)


def test_a_port_can_be_listened_on_again_after_its_server_has_ended() -> None:
    port = free_port()
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            assert not can_be_listened_on(port)
    assert can_be_listened_on(port)


def can_be_listened_on(port: int) -> bool:
    try:
        with socket.create_server(("127.0.0.1", port)):
            return True
    except OSError:
        return False
