"""Leases for people: who holds what, and the count by which two of them take it from an agent that is gone."""

import structlog

from central.errors import ConflictError, InvalidError, NotFoundError
from central.ledger.transaction import Transaction
from central.ledger.write import Ledger
from central.stock.people import require_two
from central.stock.services import UNHEARD, Deciding, EndLease, LeaseView
from central.sync.leases import Leases
from sync_protocol.facts import MAX_CODES, Fact, How, What
from sync_protocol.machines.grants_events import Lease, Standing

_log = structlog.get_logger("central.leases")
_NONE_FOUND = "none found: "


class LeaseDesk:
    def __init__(self, ledger: Ledger, leases: Leases) -> None:
        self._ledger = ledger
        self._leases = leases

    def views(self) -> tuple[LeaseView, ...]:
        """Of all that hold leases, and of those that a restored ledger waits for."""
        grants = self._leases.grants
        return tuple(self._view(device) for device in sorted(grants.unheard.union(grants.leases)))

    def deciding(self) -> Deciding:
        return self._leases.deciding

    def _view(self, device: str) -> LeaseView:
        grants, now_us = self._leases.grants, self._ledger.time.steady_us()
        lease = grants.leases.get(device) or Lease(device=device, session=b"", location="", route="")
        is_unheard = device in grants.unheard and lease.standing is not Standing.FENCED
        return LeaseView(
            device=device,
            location=lease.location,
            standing=UNHEARD if is_unheard else lease.standing,
            held=len(lease.kept),
            waiting=len(lease.given_up),
            missing=len(lease.missing),
            expires_us=lease.expires_us,
            over_us=grants.over_us(device),
            may_end=grants.may_end(device, now_us),
        )

    def end(self, request: EndLease) -> int:
        """Free what was found, as a fact of central where there is any code; how many codes.

        Raises NotFoundError, InvalidError, ConflictError while the agent may still issue, BusyError.
        """
        view = self._view(request.device)
        if not view.held and view.standing not in {UNHEARD, Standing.FENCED}:
            raise NotFoundError("device", request.device, "an agent that holds items, or that is waited for")
        found = self._checked(request)
        lease = self._leases.grants.leases.get(request.device)
        codes = found or tuple(sorted(lease.kept if lease is not None else ()))
        reason = request.reason if found else f"{_NONE_FOUND}{request.reason}"
        self._ledger.commit(lambda transaction: _record(transaction, request, codes, reason[:200]))
        who = {"operator": request.operator, "witness": request.witness, "reason": request.reason}
        _log.warning("lease ended", device=request.device, found=len(found), counted=len(codes), **who)
        self._leases.end(request.device, found)
        return len(found)

    def _checked(self, request: EndLease) -> tuple[str, ...]:
        if not request.reason.strip():
            raise InvalidError("reason", "nothing", "why the items are taken from the agent")
        grants, now_us = self._leases.grants, self._ledger.time.steady_us()
        if grants.has_left(request.device):
            raise ConflictError("device", request.device, "an agent of this central; this one answers to a newer one")
        if not grants.may_end(request.device, now_us):
            over = self._ledger.time.local(self._leases.grants.over_us(request.device)).strftime("%Y-%m-%d %H:%M:%S")
            raise ConflictError(
                "device", f"{request.device}, {over}", "an agent whose lease is over; this one's is at that time"
            )
        countable = grants.countable(request.device, now_us)
        strange = sorted(set(request.found).difference(countable))
        if strange:
            raise InvalidError("found", strange[0], "codes that are in doubt there", "leave out what is not")
        return tuple(sorted(countable if request.is_all else set(request.found)))


def _record(transaction: Transaction, request: EndLease, codes: tuple[str, ...], reason: str) -> None:
    require_two(transaction, request.operator, request.witness)
    for start in range(0, len(codes), MAX_CODES):
        transaction.record(
            Fact(
                what=What.LEASE_ENDED,
                codes=codes[start : start + MAX_CODES],
                at=transaction.moment(),
                operator=request.operator,
                witness=request.witness,
                how=How.CONSOLE,
                source=request.device,
                reason=reason,
            )
        )
