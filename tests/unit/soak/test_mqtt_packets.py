"""Golden bytes by hand from OASIS MQTT 3.1.1 (3.3.1, 3.1, 2.2.3), then the splitter in all its cuts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware_sims.soak.mqtt import Kind, MqttError, Packet, Publish, Splitter, puback, read_publish, with_will

# PUBLISH, QoS 1, RETAIN, topic "a/b", packet id 10, payload "hi"
PUBLISH = bytes.fromhex("33 09 0003 612f62 000a 6869")
# CONNECT, "MQTT" level 4, clean session, keepalive 15 s, client "c1"
CONNECT = bytes.fromhex("10 0e 0004 4d515454 04 02 000f 0002 6331")
# The same with will flag, will topic "w" and will message "dead"
WILLED = bytes.fromhex("10 17 0004 4d515454 04 06 000f 0002 6331 0001 77 0004 64656164")
PINGREQ = bytes.fromhex("c000")


def only(data: bytes) -> Packet:
    (packet,) = Splitter().feed(data)
    return packet


def test_reads_a_publish() -> None:
    found = read_publish(only(PUBLISH))
    assert found == Publish(topic="a/b", payload=b"hi", qos=1, packet_id=10, is_retained=True)
    assert found.at_most_once().raw == bytes.fromhex("31 07 0003 612f62 6869")


def test_acknowledges_by_packet_id() -> None:
    assert puback(10).raw == bytes.fromhex("40 02 000a")


def test_gives_a_client_a_last_will_once() -> None:
    assert with_will(only(CONNECT), "w", b"dead").raw == WILLED
    assert with_will(only(WILLED), "x", b"other").raw == WILLED


def test_a_length_of_four_bytes() -> None:
    packet = Packet(kind=Kind.PUBLISH, flags=0, body=bytes(2_097_152))
    assert packet.raw[:5] == bytes.fromhex("30 80808001")
    assert only(packet.raw) == packet


@pytest.mark.parametrize(
    ("data", "found"),
    [(bytes.fromhex("30 8080808001"), "length"), (bytes.fromhex("ff ffffffff"), "length")],
)
def test_a_length_without_end_is_no_packet(data: bytes, found: str) -> None:
    with pytest.raises(MqttError, match=found):
        Splitter().feed(data)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x05ab", b"\x00\x02\xff\xfe"])
def test_a_publish_whose_topic_is_none_says_so(body: bytes) -> None:
    with pytest.raises(MqttError, match="text"):
        read_publish(Packet(kind=Kind.PUBLISH, flags=0, body=body))


def test_a_connect_of_another_protocol_gets_no_will() -> None:
    with pytest.raises(MqttError, match="CONNECT"):
        with_will(Packet(kind=Kind.CONNECT, flags=0, body=b"\x00\x06MQIsdp\x03\x02\x00\x0f\x00\x01c"), "w", b"")


@given(st.lists(st.sampled_from([PUBLISH, CONNECT, PINGREQ, WILLED]), max_size=6), st.data())
def test_whatever_the_cuts_the_packets_are_the_same(packets: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    splitter, found = Splitter(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += splitter.feed(stream[start:end])
    assert [packet.raw for packet in found] == packets
