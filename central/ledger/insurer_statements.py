# ruff: noqa: S608 -- statements are put together from constants of this module, never from values
"""Statements of the insurer's queue. ``OF_…``, ``BEFORE_…`` and ``BEHIND_…`` say of a ``row`` what it waits for."""

ADD_INSURER_ROW = (
    "INSERT INTO insurer_row (position, box, order_id, quantity, is_split, is_return, state, updated_us) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
NOT_REPORTED_FOR_SURE = (
    "UPDATE insurer_row SET state = 'unknown', next_try_us = 0, updated_us = ?, "
    "cause = 'the ledger was restored: it may have been sent before' WHERE state IN ('waiting', 'sending')"
)
ANY_SENDING = "SELECT 1 FROM insurer_row WHERE state = 'sending' LIMIT 1"
SENDING_IS_UNKNOWN = (
    "UPDATE insurer_row SET state = 'unknown', attempts = attempts + 1, next_try_us = 0, updated_us = ?, "
    "cause = 'central was restarted while the row was sent' WHERE state = 'sending'"
)
# What was sold of a box to the order from which it came back later.
_SOLD_TO = (
    "FROM insurer_row AS sold {more} WHERE sold.order_id = {row}.order_id AND sold.box = {row}.box "
    "AND NOT sold.is_return AND sold.position < {row}.position"
)
_SOLD = _SOLD_TO.format(row="row", more="")
OF_REFUSED_SALE = f"row.is_return AND EXISTS (SELECT 1 {_SOLD} AND sold.state = 'refused')"
BEFORE_ITS_SALE = f"row.is_return AND EXISTS (SELECT 1 {_SOLD} AND sold.state NOT IN ('accepted', 'exempt'))"
# A return that is refused, or can never be sent, holds up nobody: the platform may take the sale all the same.
BEHIND_A_RETURN = (
    "NOT row.is_return AND EXISTS (SELECT 1 FROM insurer_row AS back WHERE back.is_return AND back.box = row.box "
    "AND back.position < row.position AND back.state IN ('waiting', 'sending', 'unknown') AND NOT EXISTS "
    f"(SELECT 1 {_SOLD_TO.format(row='back', more='')} AND sold.state = 'refused'))"
)
_MAY_GO = f"NOT ({BEFORE_ITS_SALE}) AND NOT ({BEHIND_A_RETURN})"
_SOLD_BY = _SOLD_TO.format(row="row", more="JOIN fact AS its ON its.position = sold.position")
_READ_SALE = (
    "SELECT row.id, row.box, row.quantity, row.is_split, row.attempts, coalesce(orders.is_self_pay, 0), "
    "row.is_return, row.order_id, coalesce(orders.visit, ''), "
    "coalesce(orders.patient, ''), coalesce(orders.prescriber, ''), coalesce(item.lot, ''), "
    "coalesce(item.expiry, ''), coalesce(item.made, ''), coalesce(person.name, fact.operator), fact.wall_us, "
    "product.body, fact.hash, CASE WHEN row.is_return THEN "
    f"(SELECT CASE count(*) WHEN 1 THEN max(its.hash) ELSE x'' END {_SOLD_BY}) ELSE x'' END "
    "FROM insurer_row AS row JOIN fact ON fact.position = row.position LEFT JOIN item ON item.code = row.box "
    "LEFT JOIN product ON product.id = item.product LEFT JOIN orders ON orders.id = row.order_id "
    "LEFT JOIN person ON person.id = fact.operator"
)
# In the order of the index: a long queue is not looked through for the next hundred rows.
DUE_SALES = (
    f"{_READ_SALE} WHERE row.state = ? AND row.next_try_us <= ? AND (row.state != 'waiting' OR {_MAY_GO}) "
    "ORDER BY row.next_try_us, row.id LIMIT ?"
)
SALES = f"{_READ_SALE} WHERE row.id IN ({{codes}})"
NEXT_SALE = (
    "SELECT min(next_try_us) FROM (SELECT min(next_try_us) AS next_try_us FROM insurer_row WHERE state = 'unknown' "
    "UNION ALL SELECT * FROM (SELECT row.next_try_us FROM insurer_row AS row WHERE row.state = 'waiting' "
    f"AND {_MAY_GO} ORDER BY row.next_try_us LIMIT 1))"
)
BLOCKED_SALES = "SELECT id, state, cause FROM insurer_row WHERE id IN ({codes}) AND state IN ('refused', 'unknown')"
SEND_AGAIN = "UPDATE insurer_row SET state = 'waiting', cause = '', next_try_us = 0, updated_us = ? WHERE id = ?"
ASK_NOW = "UPDATE insurer_row SET next_try_us = 0, updated_us = ? WHERE id = ?"
REPORTED_BY_HAND = "UPDATE insurer_row SET state = 'accepted', cause = ?, next_try_us = 0, updated_us = ? WHERE id = ?"
ADD_REPAIR = "INSERT INTO insurer_repair (row_id, what, cause, person, at_us) VALUES (?, ?, ?, ?, ?)"
SALES_BY_STATE = "SELECT state, count(*) FROM insurer_row GROUP BY state"
SEND_SALE = "UPDATE insurer_row SET state = ?, msgid = ?, request = ?, cause = '', updated_us = ? WHERE id = ?"
SETTLE_SALE = (
    "UPDATE insurer_row SET state = ?, cause = ?, attempts = attempts + ?, next_try_us = ?, updated_us = ? WHERE id = ?"
)
