"""Which language a browser reads the console in. English is the language of the message ids."""

import functools
import gettext
import pathlib
from collections.abc import Mapping

import jinja2
import msgspec

DOMAIN = "central"
LOCALES = pathlib.Path(__file__).parent / "locales"
TEMPLATES = pathlib.Path(__file__).parent / "templates"
COOKIE = "codepool_language"
_CATALOGUES = {"zh-CN": "zh_CN", "en": None}
NAMES = {"zh-CN": "中文", "en": "English"}


class Language(msgspec.Struct, frozen=True, kw_only=True):
    """``code`` as in HTML; ``templates`` speak it."""

    code: str
    translations: gettext.NullTranslations
    templates: jinja2.Environment

    def say(self, message: str, **values: object) -> str:
        text = self.translations.gettext(message)
        return text % values if values else text

    def count(self, one: str, many: str, n: int, **values: object) -> str:
        return self.translations.ngettext(one, many, n) % ({"n": n} | values)


@functools.cache
def languages() -> Mapping[str, Language]:
    return {code: _language(code, catalogue) for code, catalogue in _CATALOGUES.items()}


def _language(code: str, catalogue: str | None) -> Language:
    translations = gettext.translation(DOMAIN, LOCALES, [catalogue]) if catalogue else gettext.NullTranslations()
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined] # of the extension
    return Language(code=code, translations=translations, templates=templates)
