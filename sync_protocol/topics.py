"""Topic names. A device publishes below its own name only, and reads its own answers and the broadcast."""

from sync_protocol.errors import ProtocolError

ROOT = "codepool/1"
BROADCAST = f"{ROOT}/all/delta"
RECALLS = f"{ROOT}/all/recalls"
"""Retained: an agent that subscribes has the latest recall set with the first packet."""
RETAINED = frozenset({RECALLS})
ALL_UP = f"{ROOT}/d/+/up"


def up(device: str) -> str:
    """From the device to central."""
    return f"{ROOT}/d/{check_device(device)}/up"


def down(device: str) -> str:
    """From central to the device."""
    return f"{ROOT}/d/{check_device(device)}/down"


def device_of(topic: str) -> str:
    """The device that published to an ``up`` topic. Raises ProtocolError for any other topic."""
    prefix, suffix = f"{ROOT}/d/", "/up"
    if not (topic.startswith(prefix) and topic.endswith(suffix)):
        raise ProtocolError(f"topic: found {topic!r}, expected {prefix}<device>{suffix}")
    return check_device(topic[len(prefix) : -len(suffix)])


def check_device(device: str) -> str:
    """The name itself if it can stand in a topic, a certificate and a file name."""
    if not device or len(device) > MAX_DEVICE or not set(device) <= _ALLOWED:
        raise ProtocolError(f"device: found {device!r}, expected 1 to {MAX_DEVICE} of a-z, 0-9 and '-'")
    return device


MAX_DEVICE = 64
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
