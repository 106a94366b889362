import re
from enum import StrEnum

import pytest

from drivers.readings import DeviceHealth, LinkState, PouchOutcome
from edge_agent.health import HealthReport, Sentence
from edge_agent.people import SignInFlaw
from edge_agent.screens import catalogue, words
from edge_agent.screens.language import LANGUAGES, Language
from edge_agent.screens.sentences import SENTENCES, sentence
from edge_agent.screens.show import grouped
from edge_agent.screens.wording import About
from edge_agent.workflows.contents import StrayKind
from edge_agent.workflows.door import Trouble
from edge_agent.workflows.packaging import PouchState
from edge_agent.workflows.verdicts import Result, Step, StepReason
from sync_protocol.documents import OrderKind
from sync_protocol.errors import CodeFlaw
from sync_protocol.items import Kind, State
from sync_protocol.lifecycle import Reason
from tests.unit.edge_work.ward import AMOXICILLIN, CEFTRIAXONE, STENT

REASONS = [*Reason, *CodeFlaw, *StepReason, *SignInFlaw]
CHINESE = re.compile(r"[一-鿿]")
HALF_WIDTH = re.compile(r"[一-鿿][,:;!?()]|[,:;!?()][一-鿿]")


@pytest.mark.parametrize("lang", list(LANGUAGES))
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_a_sentence_and_says_what_to_do(reason: StrEnum, lang: str) -> None:
    assert reason in SENTENCES
    language, say = Language(lang), sentence(reason)
    for text in (language.text(say.title), language.text(say.advice)):
        assert text
        assert bool(CHINESE.search(text)) is language.is_chinese
    assert not set(SENTENCES) - {str(each) for each in REASONS}


def test_no_two_reasons_share_a_name_with_another_meaning() -> None:
    assert len({str(reason) for reason in REASONS}) == len(REASONS)


def test_a_reason_of_newer_software_still_gets_a_sentence() -> None:
    assert sentence("of_the_future").title == "Refused"


@pytest.mark.parametrize("enumeration", [State, Kind, OrderKind, Step, LinkState, Result, PouchState])
def test_every_word_of_an_enumeration_is_translated(enumeration: type[StrEnum]) -> None:
    chinese, english = Language("zh-CN"), Language("en")
    for member in enumeration:
        assert CHINESE.search(chinese.word(member))
        assert english.word(member) == words.WORDS[member]


def test_every_trouble_stray_and_pouch_has_a_cause_and_an_action() -> None:
    assert set(words.TROUBLES) == set(Trouble)
    assert set(words.STRAYS) == set(StrayKind)
    assert set(words.POUCH_TROUBLES) == {*PouchOutcome, None} - {PouchOutcome.DONE}
    assert set(words.SENTENCE_LEVELS) == set(Sentence)
    assert set(words.PLAIN_SENTENCES) | set(words.COUNTED_SENTENCES) == set(Sentence)


def test_the_catalogue_is_complete_and_compiled() -> None:
    texts = {message.id for message in catalogue.extract() if message.id}
    (path,) = catalogue.catalogues()
    chinese = catalogue.read(path)
    assert {message.id for message in chinese if message.id} == texts
    assert catalogue.untranslated(chinese) == []
    assert path.with_suffix(".mo").read_bytes() == catalogue.compiled(chinese)


def test_the_catalogue_keeps_placeholders_and_uses_chinese_punctuation() -> None:
    (path,) = catalogue.catalogues()
    for message in catalogue.read(path):
        if not message.id:
            continue
        ids = (message.id,) if isinstance(message.id, str) else tuple(message.id)
        texts = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
        for text in texts:
            assert set(re.findall(r"%\(\w+\)\w", text)) == set(re.findall(r"%\(\w+\)\w", ids[-1])), text
            assert not HALF_WIDTH.search(re.sub(r"%\(\w+\)\w", "N", text)), text


def report(key: Sentence, waiting: int, oldest_s: float | None) -> HealthReport:
    return HealthReport(
        device="station-1",
        location="pharmacy",
        facts_waiting=waiting,
        oldest_waiting_s=oldest_s,
        sentence_key=key,
        sentence_args={},
        replica_version=1,
        replica_latest=1,
        replica_age_s=0.0,
        is_connected=False,
        shows_own_facts=False,
        cause="",
        devices=(DeviceHealth(name="scanner-1", driver="scanner-serial", state=LinkState.READY),),
        recent_refusals=(),
    )


def test_the_one_honest_sentence() -> None:
    waiting = report(Sentence.WAITING_FOR_BROKER, 3, 250.0)
    assert Language("en").honest(waiting) == (
        "3 records are not in the ledger yet (the oldest for 4 min), because the message broker is not reached:"
        " work goes on"
    )
    assert "3 条记录尚未进入总账（最早 4 分钟前）" in Language("zh-CN").honest(waiting)
    assert Language("en").honest(report(Sentence.ON_THE_WAY, 1, 0.2)) == "1 record is on its way to the ledger"
    for key in Sentence:
        assert CHINESE.search(Language("zh-CN").honest(report(key, 2, 90_000.0)))


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("81000420000000012345", "8100 0420 0000 0001 2345"),
        ("81000420000000012345#007", "8100 0420 0000 0001 2345 #007"),
        ("010011020000000F426A1E8B", "0100 1102 0000 000F 426A 1E8B"),
        ("010690123456789221SN0000001", "010690123456789221SN0000001"),
    ],
)
def test_codes_are_grouped_for_the_eye(code: str, shown: str) -> None:
    assert grouped(code) == shown


def test_found_and_expected_speak_the_readers_language() -> None:
    products = {"ceftriaxone": CEFTRIAXONE}
    chinese, english = Language("zh-CN"), Language("en")
    assert chinese.found("ceftriaxone", About.PRODUCT, products) == "注射用头孢曲松钠"
    assert english.found("ceftriaxone", About.PRODUCT, products) == "Ceftriaxone sodium for injection"
    assert chinese.found("in_stock, locked", About.STATE, {}) == "在库 / 已锁定"
    assert chinese.found("a lock, or a late scan", About.STATE, {}) == ""
    assert chinese.found("a date not before today", About.EXPIRY, {}) == ""
    assert chinese.found("2026-01-31", About.EXPIRY, {}) == "2026-01-31"
    assert chinese.found("box or piece", About.KIND, {}) == "盒 / 单品"
    assert english.quantity(1, AMOXICILLIN) == "1 unit"
    assert english.quantity(2, CEFTRIAXONE) == "2 boxes"
    assert english.quantity(1, STENT) == "1 piece"
    assert chinese.quantity(24, AMOXICILLIN) == "24 粒"
