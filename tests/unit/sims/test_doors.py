"""Where the pages of a demo are."""

import socket

from hardware_sims.fleet import USUAL_DOORS, choose_doors


def test_a_usual_port_that_is_taken_is_replaced() -> None:
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            somebody.bind(("127.0.0.1", USUAL_DOORS.central))
            somebody.listen()
        except OSError:
            pass  # somebody else has it: as good
        assert choose_doors(is_for_people=True).central != USUAL_DOORS.central


def test_a_demo_that_nobody_looks_at_leaves_the_usual_ports_to_others() -> None:
    doors = choose_doors(is_for_people=False)
    usual = {USUAL_DOORS.central, USUAL_DOORS.station, USUAL_DOORS.cabinet, USUAL_DOORS.packager}
    assert usual.isdisjoint({doors.central, doors.station, doors.cabinet, doors.packager})
