# ruff: noqa: S608 -- statements are put together from constants of this module, never from values
"""Every statement of the hot path, by name. ``{codes}`` stands for question marks, put in by ``marks``."""

from sync_protocol.conservation import PLACES

ITEM_COLUMNS = (
    "code, kind, product, lot, expiry, state, location, document, order_id, holder, box, units, pouch, before, tag, "
    "made, is_controlled"
)
FACT_COLUMNS = (
    "position, session, seq, device, what, body, hash, version, received_us, wall_us, operator, document, order_id, "
    "before"
)
ORDER_COLUMNS = (
    "id, kind, product, quantity, patient, visit, ward, location, route, state, ordered_us, prescriber, is_self_pay"
)
NOTE_COLUMNS = "id, supplier, location, kind, state, lines, packs"
TRANSFER_COLUMNS = "id, kind, source, target, state, lines, asked_us, asked_by, is_closed"
PERSON_COLUMNS = "id, name, badge, pin, is_active"

CHUNK = 500
"""Values in one IN list: enough that the statement's own cost is shared, few enough to stay in SQLite's cache."""

# meta
READ_META = "SELECT value FROM meta WHERE key = ?"
WRITE_META = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
DELETE_META = "DELETE FROM meta WHERE key = ?"
ALL_META = "SELECT key, value FROM meta ORDER BY key"
REVISION = "SELECT version_num FROM alembic_version ORDER BY version_num"
LAST_POSITION = "SELECT coalesce(max(position), 0) FROM fact"

# the seal
READ_SEAL = "SELECT commits, chain, sums, signature FROM seal"
WRITE_SEAL = (
    "INSERT INTO seal (one, commits, chain, sums, signature) VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET "
    "commits = excluded.commits, chain = excluded.chain, sums = excluded.sums, signature = excluded.signature"
)
SEALED_FACTS = f"SELECT {FACT_COLUMNS} FROM fact ORDER BY position"

# sessions
READ_SESSIONS = (
    "SELECT device, session, parent_session, parent_seq, parent_hash, started_us, through, head FROM session "
    "WHERE session IN ({codes})"
)
WRITE_SESSION = (
    "INSERT INTO session "
    "(session, device, parent_session, parent_seq, parent_hash, started_us, through, head, received_us) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (session) DO UPDATE SET through = excluded.through, head = excluded.head, "
    "received_us = excluded.received_us"
)
READ_REACH = "SELECT session, through, safe, head FROM session WHERE session IN ({codes})"
HASH_OF = (
    "SELECT hash FROM fact WHERE session = ?1 AND seq = ?2 AND position = (SELECT position + ?2 - first_seq FROM run "
    "WHERE session = ?1 AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1)"
)
LAST_OWN_SESSION = "SELECT session, through, head FROM session WHERE device = ? ORDER BY rowid DESC LIMIT 1"
SIBLING_SESSIONS = "SELECT count(*) FROM session WHERE parent_session = ? AND session != ?"
CHILD_SESSIONS = (
    "WITH grown (session, before, through) AS (VALUES (?, ?, ?)) SELECT child.session FROM grown "
    "CROSS JOIN session AS child ON child.parent_session = grown.session "
    "AND child.parent_seq >= grown.before AND child.parent_seq < grown.through ORDER BY child.rowid"
)
OTHER_SESSION = "SELECT 1 FROM session WHERE device = ? AND session != ? LIMIT 1"
OTHER_ROOTS = "SELECT count(*) FROM session WHERE device = ? AND session != ? AND parent_session = ?"
SAFE_SESSION = "UPDATE session SET safe = ? WHERE session = ?"
VERDICTS = (
    "WITH span (session, first, last) AS (VALUES (?, ?, ?)) "
    "SELECT one.session, seq, code, what, reason, state, found, expected FROM span CROSS JOIN exception AS one "
    "ON one.session = span.session AND one.seq BETWEEN span.first AND span.last "
    "WHERE position IS NOT NULL ORDER BY one.session, seq, id"
)

# facts
ADD_FACT = f"INSERT INTO fact ({FACT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_RUN = "INSERT INTO run (session, first_seq, position) VALUES (?, ?, ?)"
ADD_EXCEPTION = (
    "INSERT INTO exception (position, device, session, seq, code, what, reason, state, found, expected, raised_us) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
SAME_CONFLICT = (
    "SELECT 1 FROM exception WHERE session = ? AND seq = 0 AND reason = 'chain_conflict' AND found = ? "
    "AND closed_us IS NULL LIMIT 1"
)

# facts that wait for older ones
ADD_EARLY = "INSERT INTO early (session, seq, body, hash) VALUES (?, ?, ?, ?)"
EARLY_OF = "SELECT seq, body FROM early WHERE session = ? ORDER BY seq LIMIT ?"
EARLY_HASH = "SELECT hash FROM early WHERE session = ? AND seq = ?"
EARLY_HEADS = (
    "SELECT early.session, early.seq, early.hash FROM early JOIN session ON session.session = early.session "
    "WHERE early.seq = (SELECT max(seq) FROM early AS other WHERE other.session = early.session) ORDER BY session.rowid"
)
DROP_EARLY = "DELETE FROM early WHERE session = ? AND seq <= ?"
COUNT_EARLY = "SELECT count(*) FROM early"

# lives of codes (``lives.py``)
LIVES = """
    WITH RECURSIVE life (code, position, device, what, version, before) AS (
        SELECT item.code, fact.position, fact.device, fact.what, fact.version, fact.before
        FROM item JOIN fact ON fact.position = item.last_position WHERE item.code IN ({codes})
        UNION ALL
        SELECT life.code, fact.position, fact.device, fact.what, fact.version, fact.before FROM life
        JOIN json_each(life.before) AS link
        ON life.version > %(after)d AND (link.key IS NULL OR link.key = life.code)
        JOIN fact ON fact.position = link.value
    )
    SELECT code, position, device, what FROM life WHERE version > %(after)d AND NOT EXISTS (
        SELECT 1 FROM exception WHERE exception.code = life.code AND exception.position = life.position
        AND exception.reason NOT IN ('recalled', 'overtaken')
    )
"""
"""Facts past a version, but for those that the item refused."""

# items
# Many items are one value: a step of the driver for each row and column costs more than the database's writing of JSON.
_ALL_ITEMS = (
    "json_group_array(json_array(json_array(code, kind, product, lot, expiry, state, location, document, order_id, "
    "holder, box, units, pouch, nullif(before, ''), tag, nullif(made, ''), is_controlled), version, last_position))"
)
READ_ITEMS = f"SELECT {_ALL_ITEMS} FROM item"
"""For ``rows.items_of`` and ``rows.versioned_items_of``."""
ITEMS = f"{READ_ITEMS} WHERE code IN ({{codes}})"
ITEMS_AFTER = f"SELECT {_ALL_ITEMS} FROM (SELECT * FROM item WHERE code > ? ORDER BY code LIMIT ?)"
"""By code."""
ADD_ITEM = (
    f"INSERT INTO item ({ITEM_COLUMNS}, version, last_position) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_STEPPED = "state, holder, version, last_position, code"
STEP_ITEM = (
    f"WITH new ({_STEPPED}) AS (VALUES (?, ?, ?, ?, ?)) UPDATE item SET state = new.state, holder = new.holder, "
    "version = new.version, last_position = new.last_position FROM new WHERE item.code = new.code"
)
_MOVED = "state, order_id, holder, pouch, before, version, last_position, code"
MOVE_ITEM = (
    f"WITH new ({_MOVED}) AS (VALUES (?, ?, ?, ?, ?, ?, ?, ?)) UPDATE item SET state = new.state, "
    "order_id = new.order_id, holder = new.holder, pouch = new.pouch, before = new.before, version = new.version, "
    "last_position = new.last_position FROM new WHERE item.code = new.code"
)
CHANGE_ITEM = (
    "UPDATE item SET state = ?, order_id = ?, holder = ?, pouch = ?, before = ?, location = ?, document = ?, "
    "units = ?, tag = ?, version = ?, last_position = ? WHERE code = ?"
)
TOUCH_ITEM = "UPDATE item SET last_position = ? WHERE code = ?"
_PLACES = ", ".join(f"'{state}'" for state in sorted(PLACES))
UNBALANCED_BOXES = (
    "SELECT box.code, box.units, (SELECT count(*) FROM item AS unit WHERE unit.box = box.code AND unit.box != '' "
    f"AND unit.state IN ({_PLACES})) AS found FROM item AS box "
    "WHERE box.code IN ({codes}) AND found != box.units"
)

# orders
ADD_ORDER = (
    f"INSERT INTO orders ({ORDER_COLUMNS}, placed_us, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ORDERS = f"SELECT {ORDER_COLUMNS} FROM orders WHERE id IN ({{codes}})"
FOUND_ORDERS = f"SELECT {ORDER_COLUMNS}, version FROM orders WHERE id IN ({{codes}})"
SETTLE_ORDER = (
    "UPDATE orders SET state = ?1, dispensed_us = CASE ?1 WHEN 'dispensed' THEN coalesce(nullif(dispensed_us, 0), ?2) "
    "WHEN 'cancelled' THEN dispensed_us ELSE 0 END, version = ?3 WHERE id = ?4"
)
ORDER_CODES = "SELECT order_id, code, state FROM item WHERE order_id IN ({codes}) AND order_id != '' ORDER BY code"
UNMET_ORDERS = (
    f"SELECT {ORDER_COLUMNS} FROM orders WHERE product = ? AND state IN ('waiting', 'part_locked') "
    "ORDER BY kind != 'stat', ordered_us, id"
)
UNMET_PLACES = "SELECT DISTINCT product, location FROM orders WHERE state IN ('waiting', 'part_locked')"
FREE_STOCK = (
    "SELECT code, box, lot FROM item WHERE product = ? AND state = 'in_stock' AND location = ? AND expiry = ? "
    "AND kind = ? AND kind != 'piece'"
)
FREE_EXPIRY = (
    "SELECT min(expiry) FROM item WHERE product = ? AND state = 'in_stock' AND location = ? AND expiry > ? "
    "AND kind != 'piece'"
)
"""The next day on which something expires that is free."""

# documents and master data
NOTES = f"SELECT {NOTE_COLUMNS} FROM note WHERE id IN ({{codes}})"
WRITE_NOTE = (
    f"INSERT INTO note ({NOTE_COLUMNS}, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, packs = excluded.packs, version = excluded.version"
)
TRANSFERS = f"SELECT {TRANSFER_COLUMNS} FROM transfer WHERE id IN ({{codes}})"
WRITE_TRANSFER = (
    f"INSERT INTO transfer ({TRANSFER_COLUMNS}, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET state = excluded.state, lines = excluded.lines, is_closed = excluded.is_closed, "
    "version = excluded.version"
)
WRITE_SHEET = (
    "INSERT INTO count_sheet (id, body, version) VALUES (?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET body = excluded.body, version = excluded.version"
)
STILL_EXPECTED = "SELECT count(*) FROM item WHERE code IN ({codes}) AND state = 'expected'"
PRODUCTS = "SELECT body FROM product WHERE id IN ({codes})"
WRITE_PRODUCT = (
    "INSERT INTO product (id, body, name, name_en, spec, kind, route, units, insurance_code, hospital_code, "
    "is_controlled, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "body = excluded.body, name = excluded.name, name_en = excluded.name_en, spec = excluded.spec, "
    "kind = excluded.kind, route = excluded.route, units = excluded.units, insurance_code = excluded.insurance_code, "
    "hospital_code = excluded.hospital_code, is_controlled = excluded.is_controlled, version = excluded.version"
)
PEOPLE = f"SELECT {PERSON_COLUMNS} FROM person WHERE id IN ({{codes}})"
BADGES = "SELECT id, badge FROM person WHERE badge IN ({codes}) AND badge != ''"
WRITE_PERSON = (
    f"INSERT INTO person ({PERSON_COLUMNS}, version) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "name = excluded.name, badge = excluded.badge, pin = excluded.pin, is_active = excluded.is_active, "
    "version = excluded.version"
)

# usages
ADD_USAGE = (
    "INSERT INTO usage (id, code, order_id, patient, operator, wall_us, state, position, received_us) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
USAGE = "SELECT code, order_id, patient, operator, wall_us FROM usage WHERE id = ? ORDER BY code"
ANY_WAITING_USAGE = "SELECT 1 FROM usage WHERE state = 'waiting' LIMIT 1"
WAITING_USAGES = (
    "SELECT id, code, order_id, operator, wall_us FROM usage WHERE state = 'waiting' AND code IN ({codes}) "
    "ORDER BY received_us, id"
)
RECORD_USAGE = "UPDATE usage SET state = 'recorded', position = ? WHERE id = ? AND code = ?"

# counts against the book
ITEMS_AT = "SELECT code, kind, product, state, before FROM item WHERE location = ?"
# By the index of products: the other would lead through all that the place ever had.
ITEMS_OF_AT = "SELECT code, kind, product, state, before FROM item WHERE product = ? AND +location = ?"
ADD_COUNT_CHECK = (
    "INSERT INTO count_check (position, device, location, product, counted, missing, surplus) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)

# deltas: rows of (after, to]. Which items changed is told by the facts: ``changed.py``
VERSIONS_AFTER = (
    "SELECT version FROM orders WHERE version > ?1 UNION ALL SELECT version FROM note WHERE version > ?1 "
    "UNION ALL SELECT version FROM product WHERE version > ?1 UNION ALL SELECT version FROM person WHERE version > ?1 "
    "UNION ALL SELECT version FROM transfer WHERE version > ?1 "
    "UNION ALL SELECT version FROM count_sheet WHERE version > ?1 "
    "ORDER BY version LIMIT ?2"
)
COUNT_ITEMS = "SELECT count(*) FROM (SELECT 1 FROM item LIMIT ?)"
VERSION_AT = "SELECT version FROM fact WHERE position = ?"
FACTS_FROM = "SELECT version, body FROM fact WHERE position >= ? ORDER BY position"
CHANGED_ORDERS = f"SELECT {ORDER_COLUMNS} FROM orders WHERE version > ? AND version <= ?"
CHANGED_NOTES = f"SELECT {NOTE_COLUMNS} FROM note WHERE version > ? AND version <= ?"
CHANGED_TRANSFERS = f"SELECT {TRANSFER_COLUMNS} FROM transfer WHERE version > ? AND version <= ?"
CHANGED_PRODUCTS = "SELECT body FROM product WHERE version > ? AND version <= ?"
CHANGED_SHEETS = "SELECT body FROM count_sheet WHERE version > ? AND version <= ?"
CHANGED_PEOPLE = f"SELECT {PERSON_COLUMNS} FROM person WHERE version > ? AND version <= ?"

# agents
WRITE_AGENT = (
    "INSERT INTO agent (device, last_seen_us, software, schema, replica_version, facts_waiting, clock_offset_us, "
    "session, is_connected, heads, incarnation, recall_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (device) DO UPDATE SET "
    "last_seen_us = excluded.last_seen_us, software = excluded.software, schema = excluded.schema, "
    "replica_version = excluded.replica_version, facts_waiting = excluded.facts_waiting, "
    "clock_offset_us = excluded.clock_offset_us, session = excluded.session, is_connected = excluded.is_connected, "
    "heads = excluded.heads, incarnation = excluded.incarnation, recall_version = excluded.recall_version"
)
AGENTS = (
    "SELECT device, last_seen_us, software, schema, replica_version, facts_waiting, clock_offset_us, session, "
    "is_connected, heads, incarnation, recall_version FROM agent"
)
ANY_AGENT = "SELECT 1 FROM agent UNION ALL SELECT 1 FROM session WHERE device != 'central' LIMIT 1"
LAST_HEARD = (
    "SELECT device, max(us) FROM (SELECT device, last_seen_us AS us FROM agent UNION ALL "
    "SELECT device, received_us FROM session WHERE device != 'central') GROUP BY device"
)

# leases
REVOKED = (
    "SELECT device FROM device_key GROUP BY device HAVING sum(state = 'revoked') > 0 AND sum(state = 'accepted') = 0"
)
LEASE_COLUMNS = "device, session, location, route, want, expires_us, number, stated, spoken_to, standing, heads"
LEASES = f"SELECT {LEASE_COLUMNS} FROM lease ORDER BY device"
LEASED = "SELECT code, device, product, number, mark FROM leased ORDER BY code"
WRITE_LEASE = (
    f"INSERT INTO lease ({LEASE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET "
    "session = excluded.session, location = excluded.location, route = excluded.route, want = excluded.want, "
    "expires_us = excluded.expires_us, number = excluded.number, stated = excluded.stated, "
    "spoken_to = excluded.spoken_to, standing = excluded.standing, heads = excluded.heads"
)
DELETE_LEASE = "DELETE FROM lease WHERE device = ?"
FREE_LEASED = "DELETE FROM leased WHERE code = ?"
WRITE_LEASED = "INSERT INTO leased (code, device, product, number, mark) VALUES (?, ?, ?, ?, ?)"
LEASABLE = "SELECT code, product, location, state FROM item WHERE code IN ({codes})"
# The states stand in them, or the index of what is free would not serve; for the locked it is that of products: the
# one of locations would lead through all that the place ever had.
FREE_AT = (
    "SELECT code FROM item WHERE product = ? AND state = 'in_stock' AND location = ? AND kind != 'piece' "
    "AND NOT EXISTS (SELECT 1 FROM leased WHERE leased.code = item.code) ORDER BY expiry, lot, box, code LIMIT ?"
)
LOCKED_AT = (
    "SELECT code, order_id, expiry, lot, box FROM item WHERE product = ? AND state = 'locked' AND +location = ? "
    "AND kind != 'piece'"
)
PLACES_IN_STOCK = (
    "SELECT DISTINCT product, location FROM item WHERE location = ? AND state IN ('in_stock', 'locked') "
    "AND kind != 'piece'"
)
ROUTE_OF = "SELECT route FROM product WHERE id = ?"

# backups
ADD_BACKUP = (
    "INSERT INTO backup (file, sha256, taken_us, version, facts, incarnation, bytes) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (file) DO NOTHING"
)
KNOWN_BACKUP = "SELECT 1 FROM backup WHERE file = ? AND sha256 = ?"
LAST_BACKUP = "SELECT file, taken_us, version, facts FROM backup ORDER BY taken_us DESC LIMIT 1"


def marks(statement: str, count: int) -> str:
    """The statement with ``count`` question marks in the place of ``{codes}``."""
    return statement.format(codes=",".join("?" * count))
