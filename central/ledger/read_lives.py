"""The facts about codes, for pages: along the life of each item, and from the work list where a code has no item."""

from sqlalchemy import ColumnElement, Subquery, and_, func, or_, select

from central.ledger.schema import exception, fact, item


def facts_about(items: ColumnElement[bool], codes: ColumnElement[bool]) -> Subquery:
    """``code`` and ``position`` of each fact about certain items, and of each misfit of certain codes."""
    first = select(item.c.code, item.c.last_position.label("position")).where(items, item.c.last_position > 0)
    life = first.cte("life", recursive=True)
    link = func.json_each(fact.c.before).table_valued("key", "value", name="link")
    is_of_code = and_(link.c.value > 0, or_(link.c.key.is_(None), link.c.key == life.c.code))
    steps = life.join(fact, fact.c.position == life.c.position).join(link, is_of_code)
    life = life.union_all(select(life.c.code, link.c.value).select_from(steps))
    misfits = select(exception.c.code, exception.c.position).where(codes, exception.c.position.is_not(None))
    return select(life.c.code, life.c.position).union(misfits).subquery("about")
