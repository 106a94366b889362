"""What the routes answer to programs: the same as the page says, as JSON."""

import datetime as dt

import msgspec

from edge_agent.screens.language import Language
from edge_agent.screens.sentences import sentence
from edge_agent.workflows.count import Line
from edge_agent.workflows.door import Grade, Phase, Session, Task, Trouble
from edge_agent.workflows.orders import Need, Ticket
from edge_agent.workflows.packaging import Batch, PouchState
from edge_agent.workflows.picking import Pick
from edge_agent.workflows.receive import NoteProgress
from edge_agent.workflows.verdicts import Result, Step, Verdict
from sync_protocol.documents import DeliveryNote, OrderKind, Person
from sync_protocol.items import Kind


class PersonAnswer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str


class RefusalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal that no scan belongs to."""

    result: Result = Result.REFUSED
    reason: str
    title: str
    advice: str
    found: str = ""
    expected: str = ""
    wait_s: int = 0


class VerdictAnswer(msgspec.Struct, frozen=True, kw_only=True):
    result: Result
    step: Step
    number: int
    code: str
    reason: str
    title: str
    advice: str
    found: str
    expected: str
    product: str
    product_name: str
    lot: str
    expiry: dt.date | None
    units: int
    order: str
    note: str
    person: str
    done: int
    total: int
    missing: tuple[str, ...]
    boxes: int
    extra: tuple[str, ...]
    is_awaited: bool
    asks: str
    state: str
    place: str
    document: str
    misfits: int
    sooner: str
    is_undone: bool
    codes: tuple["VerdictAnswer", ...]


class OrderAnswer(msgspec.Struct, frozen=True, kw_only=True):
    order: str
    kind: OrderKind
    product: str
    product_name: str
    quantity: int
    patient: str
    ward: str
    need: Need
    locked: tuple[str, ...]
    boxes: tuple[str, ...]
    scanned: tuple[str, ...]
    short: int
    is_controlled: bool


class PickAnswer(msgspec.Struct, frozen=True, kw_only=True):
    pick: str
    product: str
    product_name: str
    most: int
    whose: str
    order: str
    needs_witness: bool
    needs_reason: bool


class LineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    line: str
    product: str
    product_name: str
    kind: Kind
    scanned: int


class NoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    note: str
    supplier: str
    codes: tuple[str, ...]
    done: int
    missing: tuple[str, ...]
    packs: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()


class StrayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    kind: str
    home: str


class CabinetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    phase: Phase
    task: Task | None
    person: str
    note: str
    trouble: Trouble | None
    cause: str
    rounds: int
    tags: int
    grade: Grade | None = None
    is_received: bool = False
    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    put_back: tuple[str, ...] = ()
    cancelled_back: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    not_arrived: tuple[str, ...] = ()
    strays: tuple[StrayAnswer, ...] = ()
    refusals: tuple[str, ...] = ()
    certificate: dict[str, int] = {}


class PouchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    state: PouchState
    attempt: int
    number: str
    outcome: str
    cause: str
    reason: str


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    order: str
    product: str
    patient: str
    made: int
    pouches: tuple[PouchAnswer, ...]
    cause: str


def of_person(person: Person) -> PersonAnswer:
    return PersonAnswer(id=person.id, name=person.name)


def of_refusal(
    reason: str, language: Language, *, found: str = "", expected: str = "", wait_s: int = 0
) -> RefusalAnswer:
    say = sentence(reason)
    return RefusalAnswer(
        reason=reason,
        title=language.text(say.title),
        advice=language.text(say.advice),
        found=found,
        expected=expected,
        wait_s=wait_s,
    )


def of_verdict(verdict: Verdict, language: Language) -> VerdictAnswer:
    say = sentence(verdict.reason) if verdict.is_refused else None
    return VerdictAnswer(
        result=verdict.result,
        step=verdict.step,
        number=verdict.number,
        code=verdict.code,
        reason=verdict.reason,
        title=language.text(say.title) if say else "",
        advice=language.text(say.advice) if say else "",
        found=verdict.found,
        expected=verdict.expected,
        product=verdict.product.id if verdict.product else "",
        product_name=language.product(verdict.product) if verdict.product else "",
        lot=verdict.lot,
        expiry=verdict.expiry,
        units=verdict.units,
        order=verdict.order,
        note=verdict.note,
        person=verdict.person,
        done=verdict.done,
        total=verdict.total,
        missing=verdict.missing,
        boxes=verdict.boxes,
        extra=verdict.extra,
        is_awaited=verdict.is_awaited,
        asks=verdict.asks,
        state=verdict.state or "",
        place=verdict.place,
        document=verdict.document,
        misfits=verdict.misfits,
        sooner=verdict.sooner,
        is_undone=verdict.is_undone,
        codes=tuple(of_verdict(each, language) for each in verdict.each),
    )


def of_ticket(ticket: Ticket, scanned: tuple[str, ...], language: Language) -> OrderAnswer:
    return OrderAnswer(
        order=ticket.order.id,
        kind=ticket.order.kind,
        product=ticket.product.id,
        product_name=language.product(ticket.product),
        quantity=ticket.order.quantity,
        patient=ticket.order.patient,
        ward=ticket.order.ward,
        need=ticket.need,
        locked=tuple(item.code for item in ticket.locked),
        boxes=ticket.boxes,
        scanned=scanned,
        short=ticket.short,
        is_controlled=ticket.product.is_controlled,
    )


def of_pick(pick: Pick, language: Language) -> PickAnswer:
    return PickAnswer(
        pick=pick.id,
        product=pick.product.id,
        product_name=language.product(pick.product),
        most=len(pick.codes),
        whose=pick.whose,
        order=pick.order,
        needs_witness=pick.needs_witness,
        needs_reason=pick.needs_reason,
    )


def of_line(line: Line, language: Language) -> LineAnswer:
    return LineAnswer(
        line=line.key,
        product=line.product.id,
        product_name=language.product(line.product),
        kind=line.kind,
        scanned=line.scanned,
    )


def of_progress(progress: NoteProgress) -> NoteAnswer:
    note = progress.note
    return NoteAnswer(
        note=note.id,
        supplier=note.supplier,
        codes=note.codes,
        done=progress.done,
        missing=progress.missing,
        packs=tuple(pack.code for pack in note.packs),
        extra=progress.extra,
        awaited=progress.awaited,
    )


def of_note(note: DeliveryNote) -> NoteAnswer:
    return NoteAnswer(note=note.id, supplier=note.supplier, codes=note.codes, done=0, missing=note.codes)


def of_session(session: Session) -> CabinetAnswer:
    answer = CabinetAnswer(
        phase=session.phase,
        task=session.task,
        person=session.person.id if session.person else "",
        note=session.note.id if session.note else "",
        trouble=session.trouble,
        cause=session.cause,
        rounds=session.rounds,
        tags=session.tags,
    )
    outcome = session.outcome
    if outcome is None:
        return answer
    contents = outcome.contents
    return msgspec.structs.replace(
        answer,
        grade=outcome.grade,
        is_received=outcome.is_received,
        present=tuple(item.code for item in contents.present),
        missing=tuple(item.code for item in contents.missing),
        put_back=tuple(item.code for item in contents.back),
        cancelled_back=tuple(item.code for item in contents.cancelled_back),
        arrived=tuple(item.code for item in contents.arrived),
        not_arrived=outcome.not_arrived,
        strays=tuple(StrayAnswer(code=stray.code, kind=stray.kind, home=stray.home) for stray in contents.strays),
        refusals=tuple(refusal.reason for refusal in outcome.refusals),
        certificate=msgspec.structs.asdict(outcome.certificate),
    )


def of_batch(batch: Batch) -> BatchAnswer:
    order = batch.ticket.order
    return BatchAnswer(
        order=order.id,
        product=order.product,
        patient=order.patient,
        made=batch.made,
        pouches=tuple(
            PouchAnswer(
                code=pouch.code,
                state=pouch.state,
                attempt=pouch.attempt,
                number=pouch.number,
                outcome=pouch.outcome or "",
                cause=pouch.cause,
                reason=pouch.reason,
            )
            for pouch in batch.pouches
        ),
        cause=batch.cause,
    )
