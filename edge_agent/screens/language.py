"""Two languages, one set of templates: English is the catalogue's key, Chinese is what a hospital sees by default."""

import gettext
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from edge_agent.health import HealthReport
from edge_agent.screens import show, words
from edge_agent.screens.sentences import sentence
from sync_protocol.documents import Product
from sync_protocol.items import Kind

HERE = Path(__file__).parent
LOCALES = HERE / "locales"
DOMAIN = "edge"
DEFAULT = "zh-CN"
LANGUAGES: Mapping[str, str] = {"zh-CN": "简体中文", "en": "English"}


class Language:
    """Texts, templates and spellings of one language."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.is_chinese = code.startswith("zh")
        self._catalogue = (
            gettext.translation(DOMAIN, LOCALES, languages=[code.replace("-", "_")])
            if self.is_chinese
            else gettext.NullTranslations()
        )
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            extensions=["jinja2.ext.i18n"],
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._templates.install_gettext_translations(self._catalogue, newstyle=True)  # type: ignore[attr-defined]
        self._templates.globals |= {"words": words, "lang": self, "languages": LANGUAGES, "say": sentence}
        self._templates.filters |= {
            "grouped": show.grouped,
            "clock": show.clock,
            "word": self.word,
            "product": self.product,
            "found": self.found,
            "age": self.age,
        }

    def text(self, key: str, **values: Any) -> str:
        translated = self._catalogue.gettext(key)
        return translated % values if values else translated

    def count(self, one: str, many: str, number: int, **values: Any) -> str:
        return self._catalogue.ngettext(one, many, number) % ({"num": number} | values)

    def render(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(values)

    def word(self, value: str) -> str:
        """The word for a member of an enumeration that screens show."""
        return self.text(words.WORDS.get(value, value))

    def product(self, product: Product) -> str:
        """The name of a product, in the reader's language where it has one."""
        return product.name if self.is_chinese else product.name_en or product.name

    def quantity(self, number: int, product: Product) -> str:
        """A number of units of a split drug, or of boxes or pieces."""
        if self.is_chinese:
            return f"{number} {product.unit_name}"
        if product.is_split:
            return self.count("%(num)d unit", "%(num)d units", number)
        if product.kind is Kind.PIECE:
            return self.count("%(num)d piece", "%(num)d pieces", number)
        return self.count("%(num)d box", "%(num)d boxes", number)

    def age(self, seconds: float) -> str:
        """How long, in the unit that people would say."""
        for size, (one, many) in words.AGES:
            if seconds >= size:
                return self.count(one, many, int(seconds // size))
        return self.text("a moment")

    def honest(self, report: HealthReport) -> str:
        """The one sentence about synchronisation (X07)."""
        key = report.sentence_key
        if key in words.PLAIN_SENTENCES:
            return self.text(words.PLAIN_SENTENCES[key])
        age = self.age(report.oldest_waiting_s or 0)
        return self.count(*words.COUNTED_SENTENCES[key], report.facts_waiting, age=age)

    def found(self, text: str, about: str, products: Mapping[str, Product]) -> str:
        """Found or expected of a refusal as people say it; empty where only the code behind it could read it."""
        return show.found(text, about, products, self)
