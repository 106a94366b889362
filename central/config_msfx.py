"""The section ``[msfx]`` of the configuration: the code platform."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from central.config_words import like, url_mistakes
from central.connectors.msfx import PER_S
from central.connectors.top import Caller, SignMethod


class MsfxSection(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    app_key: str
    app_secret: str
    ref_ent_id: str
    ent_id: str
    sign_method: str = SignMethod.MD5
    per_s: float = PER_S
    timeout_s: float = 10.0


class MsfxConfig(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    caller: Caller
    per_s: float
    timeout_s: float


def msfx_mistakes(msfx: Mapping[str, Any]) -> Iterator[str]:
    yield from url_mistakes("[msfx] url", msfx["url"], ("http", "https"), "https://eco.taobao.com/router/rest")
    for name in ("app_key", "app_secret", "ref_ent_id", "ent_id"):
        if not msfx[name]:
            yield f"[msfx] {name}: found nothing, expected the one that the platform gave the hospital"
    method = msfx.get("sign_method", SignMethod.MD5)
    if method not in set(SignMethod):
        yield f"[msfx] sign_method: found {method!r}, expected {' or '.join(SignMethod)}{like(method, SignMethod)}"
    for name, meaning in (("per_s", "requests a second above 0"), ("timeout_s", "seconds above 0")):
        if msfx.get(name, 1.0) <= 0:
            yield f"[msfx] {name}: found {msfx[name]}, expected {meaning}"


def msfx_config(section: MsfxSection) -> MsfxConfig:
    caller = Caller(
        app_key=section.app_key,
        secret=section.app_secret,
        ref_ent_id=section.ref_ent_id,
        ent_id=section.ent_id,
        sign_method=SignMethod(section.sign_method),
    )
    return MsfxConfig(url=section.url, caller=caller, per_s=section.per_s, timeout_s=section.timeout_s)
