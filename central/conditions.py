"""How each part of central is, and what to do where one is not well: for /healthz and the console."""

import dataclasses

from central.connectors.insurer import Insurer
from central.connectors.msfx import CodePlatform
from central.ledger.write import Ledger
from central.stock.device_keys import DeviceKeys
from central.stock.recalls import Recalls
from central.stock.services import Condition
from central.sync.gate import Gate
from central.sync.inbox import Inbox
from central.sync.ingest import Ingest
from central.sync.link import MqttLink
from central.sync.recalls import RecallLane
from central.sync.refill import Refill
from central.sync.snapshots import Snapshots
from sync_protocol.envelope import fingerprint

_OLDER_ADVICE = "two centrals are alive: stop this one, or restore the backup that is meant, with the clock set right"
_REFILL_ADVICE = "bring the agents back that are waited for; orders wait meanwhile, workplaces go on"
_KEYS_ADVICE = "two people compare each fingerprint with the one that the device shows, and accept it below"
_REFUSED_ADVICE = "look for a second computer of this name, or for whoever has access to the broker"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """``insurer``, ``platform`` None: the configuration names none."""

    ledger: Ledger
    refill: Refill
    link: MqttLink
    ingest: Ingest
    inbox: Inbox
    recalls: Recalls
    recall_lane: RecallLane
    snapshots: Snapshots
    device_keys: DeviceKeys
    gate: Gate
    insurer: Insurer | None
    platform: CodePlatform | None

    def all(self) -> tuple[Condition, ...]:
        """How each part is, with what to do where one is not well."""
        stuck = "; ".join(f"{device}: {cause}" for device, cause in sorted(self.ingest.stuck.items()))
        is_full = self.inbox.is_full
        superseded = "agents have met a newer central" if self.refill.superseded else ""
        refilling = "the ledger was restored, and agents give back what it lacks" if self.refill.is_on else ""
        unsigned = "; ".join(f"{device}: {cause}" for device, cause in sorted(self.recall_lane.refused.items()))
        recalls = self.recalls.trouble or unsigned
        parts = [
            Condition(part="ledger", cause=self.ledger.trouble, advice=_advice(self.ledger.trouble, "see the cause")),
            Condition(part="life", cause=superseded, advice=_advice(superseded, _OLDER_ADVICE)),
            Condition(part="refill", cause=refilling, advice=_advice(refilling, _REFILL_ADVICE)),
            Condition(
                part="broker",
                cause=self.link.cause,
                advice=_advice(self.link.cause, "start the broker, or correct [mqtt] url; agents keep their facts"),
            ),
            Condition(
                part="ingest",
                cause=stuck or ("more facts arrive than can be written" if is_full else ""),
                advice=_advice(stuck or is_full, "keep the data folder of the agents named and look at the exceptions"),
            ),
            self._devices(),
            Condition(
                part="snapshots",
                cause=self.snapshots.trouble,
                advice=_advice(self.snapshots.trouble, "free space on the disk; agents copy row by row meanwhile"),
            ),
            Condition(
                part="recalls",
                cause=recalls,
                advice=_advice(recalls, "put the old recall.key back, or give every agent the key of recall-key"),
            ),
        ]
        if self.insurer is not None:
            trouble = self.insurer.trouble
            advice = _advice(trouble, "check the platform and [insurer]; rows wait and are sent by themselves")
            parts.append(Condition(part="insurer", cause=trouble, advice=advice))
        if self.platform is not None:
            trouble = self.platform.trouble
            advice = _advice(trouble, "check the code platform and [msfx]; receiving goes on box by box meanwhile")
            parts.append(Condition(part="msfx", cause=trouble, advice=advice))
        return tuple(parts)

    def _devices(self) -> Condition:
        """Who may not speak, and why."""
        waiting = ", ".join(f"{device} {fingerprint(key)}" for device, key in self.device_keys.waiting)
        if waiting:
            return Condition(part="devices", cause=f"keys wait: {waiting}", advice=_KEYS_ADVICE)
        refused = "; ".join(f"{device}: {cause}" for device, cause in sorted(self.gate.refused_lately.items()))
        return Condition(part="devices", cause=refused, advice=_advice(refused, _REFUSED_ADVICE))


def _advice(is_needed: object, text: str) -> str:
    return text if is_needed else ""
