import pytest

from drivers.errors import DriverConfigError
from drivers.streams import SerialLine, TcpLine, parse_url


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("/dev/serial/by-id/usb-X", SerialLine(path="/dev/serial/by-id/usb-X")),
        ("serial:///dev/ttyS0", SerialLine(path="/dev/ttyS0", baud=9600, parity="N")),
        ("serial:///dev/ttyS0?baud=115200&parity=E", SerialLine(path="/dev/ttyS0", baud=115200, parity="E")),
        ("socket://10.1.2.3:4001", TcpLine(host="10.1.2.3", port=4001)),
        ("socket://[::1]:4001", TcpLine(host="::1", port=4001)),
    ],
)
def test_a_url_says_where_the_line_is(url: str, line: SerialLine | TcpLine) -> None:
    assert parse_url(url) == line


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "expected a path like"),
        ("ttyACM0", "expected a path like"),
        ("http://10.1.2.3:80", "expected a path like"),
        ("socket://10.1.2.3", "expected a path like"),
        ("socket://10.1.2.3:70000", "Port out of range"),
        ("socket://[::1:4001", "Invalid IPv6 URL"),
        ("serial://dev/ttyS0", "expected a path like"),
        ("serial:///dev/ttyS0?baud=fast", "baud is 'fast', expected a speed of serial lines"),
        ("serial:///dev/ttyS0?baud=9601", "baud is '9601'"),
        ("serial:///dev/ttyS0?baud=", "baud is ''"),
        ("serial:///dev/ttyS0?parity=X", "parity is 'X', expected N, E or O"),
        ("serial:///dev/ttyS0?speed=9600", "unknown setting 'speed', expected baud or parity"),
    ],
)
def test_a_url_that_leads_nowhere_says_what_was_expected(url: str, said: str) -> None:
    with pytest.raises(DriverConfigError) as refused:
        parse_url(url)
    assert said in str(refused.value)
    assert repr(url) in str(refused.value)
