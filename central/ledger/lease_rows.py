"""Leases as rows of the ledger, and back."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from central.ledger import statements
from central.ledger.staging import in_chunks
from sync_protocol.leases import LEASABLE
from sync_protocol.machines.grants import Grants
from sync_protocol.machines.grants_events import Lease, Standing

Write = Callable[[str, list[tuple[Any, ...]]], object]
"""Executes a statement for each of the rows."""
SINCE = "leases_since_us"
"""Under which a restored ledger keeps when it began to wait for agents to say what they hold."""
HELD, DOUBTED, GIVEN_UP, MISSING = "held", "doubted", "given_up", "missing"
_encode = msgspec.msgpack.Encoder().encode
_heads = msgspec.msgpack.Decoder(dict[bytes, int])


def read_grants(connection: sqlite3.Connection, *, incarnation: int, term_us: int, margin_us: int) -> Grants:
    """All leases as they are written down, and whom a restored ledger waits for."""
    leases = _read_leases(connection)
    row = connection.execute(statements.READ_META, (SINCE,)).fetchone()
    unheard: set[str] = set()
    if row:
        known = {device for device, _ in connection.execute(statements.LAST_HEARD)}
        known.update(lease.device for lease in leases)
        unheard = known.difference(device for (device,) in connection.execute(statements.REVOKED))
    return Grants(
        leases,
        term_us=term_us,
        margin_us=margin_us,
        incarnation=incarnation,
        unheard=unheard,
        over_us=int(row[0]) + term_us + 2 * margin_us if row else 0,
    )


def _read_leases(connection: sqlite3.Connection) -> list[Lease]:
    leases: dict[str, Lease] = {}
    for (
        device,
        session,
        location,
        route,
        want,
        expires_us,
        number,
        stated,
        spoken_to,
        standing,
        heads,
    ) in connection.execute(statements.LEASES):
        leases[device] = Lease(
            device=device,
            session=session,
            location=location,
            route=route,
            want=want,
            expires_us=expires_us,
            number=number,
            stated=stated,
            spoken_to=spoken_to,
            standing=Standing(standing),
            heads=_heads.decode(heads),
        )
    for code, device, product, number, mark in connection.execute(statements.LEASED):
        lease = leases[device]
        lease.products[code] = product
        if mark in {HELD, DOUBTED}:
            lease.codes[code] = number
        if mark != HELD:
            {DOUBTED: lease.doubted, GIVEN_UP: lease.given_up, MISSING: lease.missing}[mark].add(code)
    return list(leases.values())


def write_leases(write: Write, leases: Mapping[str, Lease | None], codes: Mapping[str, Lease | None]) -> None:
    """Leases by device and holders by code as they are now; None: there is none any more."""
    write(statements.DELETE_LEASE, [(device,) for device, lease in leases.items() if lease is None])
    write(statements.WRITE_LEASE, [_row(lease) for lease in leases.values() if lease is not None])
    write(statements.FREE_LEASED, [(code,) for code in codes])
    write(statements.WRITE_LEASED, [_code_row(code, lease) for code, lease in codes.items() if lease is not None])


def leasable(connection: sqlite3.Connection, codes: Iterable[str], location: str) -> dict[str, str]:
    """The products of those that are in stock or locked at this place."""
    rows = in_chunks(connection, statements.LEASABLE, sorted(set(codes)))
    return {code: product for code, product, place, state in rows if place == location and state in LEASABLE}


def _row(lease: Lease) -> tuple[Any, ...]:
    place = (lease.device, lease.session, lease.location, lease.route, lease.want)
    numbers = (lease.expires_us, lease.number, lease.stated, lease.spoken_to)
    return (*place, *numbers, lease.standing, _encode(lease.heads))


def _code_row(code: str, lease: Lease) -> tuple[Any, ...]:
    marks = {DOUBTED: lease.doubted, GIVEN_UP: lease.given_up, MISSING: lease.missing}
    mark = next((mark for mark, codes in marks.items() if code in codes), HELD)
    return (code, lease.device, lease.products.get(code, ""), lease.codes.get(code, 0), mark)
