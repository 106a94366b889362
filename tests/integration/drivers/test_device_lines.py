import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from drivers.abilities import Device
from drivers.errors import DeviceGoneError, DeviceRefusedError
from drivers.lock_board import LockBoard8A
from drivers.packager import TcpPackager
from drivers.readings import DoorState, LinkState, PackagerJob
from drivers.wire import packager as records
from hardware_sims import faults
from hardware_sims.devices.lock_board import SimLockBoard
from hardware_sims.faults import Line, Step
from hardware_sims.serve import Cable, PtyPort, TcpPort

JOB = PackagerJob(job="J1", order="O1", patient="P1", take_at="0800", doses=())


@asynccontextmanager
async def running(device: Device) -> AsyncIterator[None]:
    task = asyncio.create_task(device.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - health is seen from outside only
            await asyncio.sleep(0.005)


def is_ready(device: Device) -> Callable[[], bool]:
    return lambda: device.health.state is LinkState.READY


async def test_a_board_that_loses_its_power_behind_a_living_adapter_is_noticed_and_used_again(tmp_path: Path) -> None:
    sim = SimLockBoard()
    async with PtyPort(tmp_path / "tty", sim.talk) as port:
        board = LockBoard8A(name="c", url=port.url, check_every_s=0.2)
        async with running(board):
            await until(is_ready(board))
            sim.has_power = False
            with pytest.raises(DeviceGoneError, match="board 1 does not answer; check its power, address and wiring"):
                await board.doors()
            await until(lambda: board.health.state is LinkState.FAULTED)
            assert "does not answer" in board.health.cause
            sim.has_power = True
            await until(is_ready(board))
            await board.open(1)


async def test_a_board_of_another_address_is_never_ready(tmp_path: Path) -> None:
    sim = SimLockBoard(first_board=2)
    async with PtyPort(tmp_path / "tty", sim.talk) as port:
        board = LockBoard8A(name="c", url=port.url, reply_timeout_s=0.05)
        async with running(board):
            await until(lambda: board.health.attempts >= 2)
            assert board.health.state is LinkState.FAULTED
            assert "board 1 does not answer" in board.health.cause


async def test_locks_are_counted_through_the_boards_of_a_line(tmp_path: Path) -> None:
    sim = SimLockBoard(boards=3, first_board=5)
    async with PtyPort(tmp_path / "tty", sim.talk) as port:
        board = LockBoard8A(name="c", url=port.url, first_board=5, locks=60, turnaround_s=0.0)
        async with running(board):
            await until(is_ready(board))
            await board.open(25)
            await board.open(60)
            doors = await board.doors()
    assert len(doors) == 60
    assert {lock for lock, state in doors.items() if state is DoorState.OPEN} == {25, 60}
    opened = [(command.board, command.lock) for _, command in sim.commands if command.code == 0x8A]
    assert opened == [(6, 1), (7, 12)]


async def test_one_garbled_reply_is_asked_for_again_without_anybody_noticing(tmp_path: Path) -> None:
    sim = SimLockBoard()
    async with PtyPort(tmp_path / "tty", sim.talk, line=Line(faults.garble(chance=0.03), seed=11)) as port:
        board = LockBoard8A(name="c", url=port.url, reply_timeout_s=0.05, turnaround_s=0.0)
        async with running(board):
            await until(is_ready(board))
            asked_before, answered = len(sim.commands), 0
            for _ in range(30):
                try:
                    await board.doors()
                    answered += 1
                except DeviceGoneError:
                    continue
    assert answered >= 25
    assert len(sim.commands) - asked_before > 30


async def test_an_open_command_lost_on_the_line_is_sent_again(tmp_path: Path) -> None:
    lost: list[bytes] = []

    def lose_the_first_open_command(_: Random, step: Step) -> list[Step]:
        if step.data.startswith(b"\x8a") and not lost:
            lost.append(step.data)
            return []
        return [step]

    sim = SimLockBoard()
    async with PtyPort(tmp_path / "tty", sim.talk, line_to_device=Line(lose_the_first_open_command)) as port:
        board = LockBoard8A(name="c", url=port.url, reply_timeout_s=0.1)
        async with running(board):
            await until(is_ready(board))
            await board.open(4)
    assert lost == [bytes.fromhex("8A 01 04 11 9E")]
    assert sim.open_doors == {4}


async def test_a_machine_that_never_acknowledges_is_said_to_and_the_job_went_out_as_often_as_set() -> None:
    heard: list[records.Message] = []

    async def deaf(cable: Cable) -> None:
        splitter = records.Splitter()
        while data := await cable.read():
            heard.extend(record.message for record in splitter.feed(data) if isinstance(record, records.Received))

    async with TcpPort(deaf) as port:
        packager = TcpPackager(name="m", url=port.url, answer_timeout_s=0.05, tries=3)
        async with running(packager):
            await until(is_ready(packager))
            with pytest.raises(DeviceGoneError, match="'J1' was sent 3 times and not acknowledged; submit it again"):
                await packager.submit(JOB)
    assert [type(message) for message in heard] == [records.Job] * 3
    assert heard[0] == heard[1] == heard[2]


async def test_a_late_acknowledgement_of_one_job_is_not_taken_for_that_of_the_next() -> None:
    answered: list[str] = []

    async def late(cable: Cable) -> None:
        splitter = records.Splitter()
        while data := await cable.read():
            for record in splitter.feed(data):
                assert isinstance(record, records.Received)
                answered.append(record.crc)
                await cable.write(records.encode(records.Taken(crc=answered[0])))

    async with TcpPort(late) as port:
        packager = TcpPackager(name="m", url=port.url, answer_timeout_s=0.05, tries=2)
        async with running(packager):
            await until(is_ready(packager))
            await packager.submit(JOB)
            with pytest.raises(DeviceGoneError, match="'J2' was sent 2 times"):
                await packager.submit(PackagerJob(job="J2", order="O", patient="P", take_at="0800", doses=()))


async def test_records_that_make_no_sense_are_refused_and_the_line_goes_on() -> None:
    answers: list[records.Message] = []

    async def confused(cable: Cable) -> None:
        splitter = records.Splitter()
        await cable.write(
            b"\x03noise\x02" + records.encode(records.Result(job="J0", outcome="lost", pouch="", message=""))
        )
        await cable.write(records.encode(records.Job(job="J", order="", patient="", take_at="", doses=())))
        while data := await cable.read():
            for record in splitter.feed(data):
                assert isinstance(record, records.Received)
                if isinstance(record.message, records.Job):
                    await cable.write(records.encode(records.Refused(crc=record.crc, reason="闭馆")))
                else:
                    answers.append(record.message)

    async with TcpPort(confused) as port:
        packager = TcpPackager(name="m", url=port.url)
        async with running(packager):
            await until(lambda: len(answers) == 3)
            with pytest.raises(DeviceRefusedError, match="job 'J1' was refused: 闭馆"):
                await packager.submit(JOB)
    assert answers[0] == records.SendAgain()
    reasons = [answer.reason for answer in answers if isinstance(answer, records.Refused)]
    assert reasons == ["'lost' is not a valid PouchOutcome", "jobs go to the machine, not from it"]


async def test_a_full_queue_of_results_leaves_the_rest_to_the_machine() -> None:
    waiting = [records.Result(job=f"J{n}", outcome="done", pouch=f"P{n}", message="") for n in range(6)]
    taken: list[str] = []

    async def eager(cable: Cable) -> None:
        """Sends everything at once and again, against the rules."""

        async def send() -> None:
            while True:
                for result in waiting:
                    record = records.encode(result)
                    if records.crc_of(record) not in taken:
                        await cable.write(record)
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        splitter = records.Splitter()
        while data := await cable.read():
            taken.extend(
                record.message.crc
                for record in splitter.feed(data)
                if isinstance(record, records.Received) and isinstance(record.message, records.Taken)
            )
        sending.cancel()

    async with TcpPort(eager) as port:
        packager = TcpPackager(name="m", url=port.url, queue_size=2)
        async with running(packager):
            await asyncio.sleep(0.2)
            assert packager._results.qsize() == 2
            results = packager.results()
            async with asyncio.timeout(5):
                heard: set[str] = set()
                while len(heard) < 6:
                    heard.add((await anext(results)).job)
    assert heard == {result.job for result in waiting}


async def test_a_server_that_hangs_up_at_once_is_not_asked_in_a_tight_loop() -> None:
    calls = 0

    async def hang_up(cable: Cable) -> None:
        nonlocal calls
        calls += 1
        cable.hang_up()

    async with TcpPort(hang_up) as port:
        packager = TcpPackager(name="m", url=port.url)
        async with running(packager):
            await asyncio.sleep(1.5)
    assert 2 <= calls <= 7


async def test_a_simulated_device_that_breaks_is_not_silent() -> None:
    async def broken(cable: Cable) -> None:
        await cable.read()
        raise RuntimeError("a mistake in the simulator")

    async def use_it() -> None:
        async with TcpPort(broken) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port.port)
            writer.write(b"x")
            await asyncio.sleep(0.1)
            writer.close()

    with pytest.raises(ExceptionGroup) as failed:
        await use_it()
    assert "a mistake in the simulator" in repr(failed.value)
