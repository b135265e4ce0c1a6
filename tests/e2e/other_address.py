# SPDX-License-Identifier: Apache-2.0
"""Limits by client address, tried from an address that is not loopback's.

    unshare -rn python3 other_address.py HTTPD_ECHO

In a network of its own: the loopback device gets a second address, and is asked from there.
"""

import fcntl
import socket
import struct
import sys
import tempfile

import doors
from doors import Client, Echo, webhook

SIOCSIFADDR, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x8914, 1
ADDRESS = "10.20.30.40"


def set_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        address = struct.pack("16sH2s4s8x", b"lo:1", socket.AF_INET, b"", socket.inet_aton(ADDRESS))
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
        fcntl.ioctl(s, SIOCSIFADDR, address)


def other(door):
    """A client whose address is the other one, as the server's then is."""
    return Client((ADDRESS, door.address[1]))


def rates(home):
    door = Echo(home, "--listen", "0.0.0.0:0", "--rate", "0.5", "--burst", "3")
    with other(door) as c:
        for _ in range(3):
            c.send(webhook())
            assert c.answer().status == 200
        c.send(webhook())
        refused = c.answer()
        assert refused.status == 429 and refused.json["error"] == "rate"
        assert 1 <= int(refused.headers["retry-after"]) <= 2
    with other(door) as c:  # another connection is no way round it
        c.send(webhook())
        assert c.answer().status == 429
    for _ in range(10):  # and loopback is not concerned
        assert door_at_loopback(door).serves()
    door.finish()


def connections(home):
    door = Echo(home, "--listen", "0.0.0.0:0", "--per-client", "2")
    one, two, three = other(door), other(door), other(door)
    for c in (one, two):
        c.send(webhook())
        assert c.answer().status == 200
    assert three.rest() == b""
    one.close()
    assert door_at_loopback(door).serves()
    for c in (two, three):
        c.close()
    door.finish()


def door_at_loopback(door):
    door.address = ("127.0.0.1", door.address[1])
    return door


if __name__ == "__main__":
    doors.HTTPD_ECHO = sys.argv[1]
    set_up()
    with tempfile.TemporaryDirectory() as folder:
        rates(folder)
        connections(folder)
