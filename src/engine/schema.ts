/** SQLSTATE of an order whose engine is not the one that PostgreSQL allows. */
export const STALE_EPOCH = 'VZ001';
/** SQLSTATE of any other breach of the rules of the schema. */
export const FORBIDDEN = 'VZ002';

/**
 * The advisory lock of the fence, as two integers. Shared by each order's transaction, exclusive to a change of the
 * epoch: a row lock would do the same, but a shared lock on one row by every order costs WAL and multixacts.
 */
const FENCE = '1986358394, 1';
/** The advisory lock of those who make the schema. */
const MAKING = '1986358394, 2';

/** The version of the schema that this program needs. */
export const SCHEMA_VERSION = 2;

/** Which version is there; no row, or no table, where there is none. */
export const schemaVersionSql = "SELECT to_regclass('veloz_engine.schema_version') IS NOT NULL AS there";

/**
 * Makes the schema, one transaction. Two engines that start together make it once.
 *
 * The fence is a trigger, so that whatever inserts an order is measured by it: the order has to carry the epoch and the
 * node that `veloz_engine.epoch` names, and that can not change before the order's transaction has ended.
 */
export const schemaSql = `
SELECT pg_advisory_xact_lock(${MAKING});
CREATE SCHEMA IF NOT EXISTS veloz_engine;
CREATE TABLE IF NOT EXISTS veloz_engine.schema_version (version int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());

CREATE TABLE IF NOT EXISTS veloz_engine.epoch (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch bigint NOT NULL,
  node text NOT NULL,
  url text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE IF NOT EXISTS veloz_engine.epoch_history (
  epoch bigint PRIMARY KEY,
  node text NOT NULL,
  at timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS veloz_engine.orders (
  id text PRIMARY KEY,
  idempotency_key text NOT NULL UNIQUE,
  fingerprint text NOT NULL,
  symbol text NOT NULL,
  side text NOT NULL CHECK (side IN ('buy', 'sell')),
  type text NOT NULL CHECK (type IN ('limit', 'market')),
  quantity numeric(38,18) NOT NULL CHECK (quantity > 0),
  price numeric(38,18) CHECK (price > 0),
  status text NOT NULL DEFAULT 'accepted',
  node text NOT NULL,
  epoch bigint NOT NULL,
  accepted_at timestamptz NOT NULL
);
INSERT INTO veloz_engine.epoch (epoch, node, url) VALUES (0, '', '') ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION veloz_engine.fence() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $fence$
DECLARE
  allowed record;
BEGIN
  -- An older snapshot would show an older epoch.
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION USING ERRCODE = '${FORBIDDEN}', MESSAGE = 'orders are accepted at isolation level read committed only';
  END IF;
  PERFORM pg_advisory_xact_lock_shared(${FENCE});
  SELECT epoch, node, url INTO allowed FROM veloz_engine.epoch;
  IF NEW.epoch IS DISTINCT FROM allowed.epoch OR NEW.node IS DISTINCT FROM allowed.node THEN
    RAISE EXCEPTION USING ERRCODE = '${STALE_EPOCH}',
      MESSAGE = format('%s may not accept orders in epoch %s: the epoch is %s, of %s', NEW.node, NEW.epoch, allowed.epoch, allowed.node),
      DETAIL = jsonb_build_object('epoch', allowed.epoch, 'node', allowed.node, 'url', allowed.url)::text;
  END IF;
  RETURN NEW;
END $fence$;

CREATE OR REPLACE FUNCTION veloz_engine.next_epoch() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $next$
BEGIN
  IF NEW.epoch <> OLD.epoch + 1 THEN
    RAISE EXCEPTION USING ERRCODE = '${FORBIDDEN}', MESSAGE = format('the epoch goes from %s to %s, not to %s', OLD.epoch, OLD.epoch + 1, NEW.epoch);
  END IF;
  -- Waits for the orders that were allowed in the old epoch; later ones wait for this transaction.
  PERFORM pg_advisory_xact_lock(${FENCE});
  INSERT INTO veloz_engine.epoch_history (epoch, node, at) VALUES (NEW.epoch, NEW.node, NEW.at);
  RETURN NEW;
END $next$;

CREATE OR REPLACE FUNCTION veloz_engine.kept() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $kept$
BEGIN
  RAISE EXCEPTION USING ERRCODE = '${FORBIDDEN}', MESSAGE = format('%s of %I.%I is not allowed: it is kept as it was written', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME);
END $kept$;

CREATE OR REPLACE TRIGGER fence BEFORE INSERT ON veloz_engine.orders FOR EACH ROW EXECUTE FUNCTION veloz_engine.fence();
CREATE OR REPLACE TRIGGER kept BEFORE UPDATE OR DELETE ON veloz_engine.orders FOR EACH ROW EXECUTE FUNCTION veloz_engine.kept();
CREATE OR REPLACE TRIGGER kept_whole BEFORE TRUNCATE ON veloz_engine.orders FOR EACH STATEMENT EXECUTE FUNCTION veloz_engine.kept();
CREATE OR REPLACE TRIGGER next_epoch BEFORE UPDATE ON veloz_engine.epoch FOR EACH ROW EXECUTE FUNCTION veloz_engine.next_epoch();
CREATE OR REPLACE TRIGGER kept BEFORE DELETE ON veloz_engine.epoch FOR EACH ROW EXECUTE FUNCTION veloz_engine.kept();
CREATE OR REPLACE TRIGGER kept_whole BEFORE TRUNCATE ON veloz_engine.epoch FOR EACH STATEMENT EXECUTE FUNCTION veloz_engine.kept();
CREATE OR REPLACE TRIGGER kept BEFORE UPDATE OR DELETE ON veloz_engine.epoch_history FOR EACH ROW EXECUTE FUNCTION veloz_engine.kept();
CREATE OR REPLACE TRIGGER kept_whole BEFORE TRUNCATE ON veloz_engine.epoch_history FOR EACH STATEMENT EXECUTE FUNCTION veloz_engine.kept();

-- As it is shown: numbers as texts, so that none loses digits on its way.
CREATE OR REPLACE FUNCTION veloz_engine.shown(kept veloz_engine.orders) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $shown$
  SELECT jsonb_build_object('id', kept.id, 'symbol', kept.symbol, 'side', kept.side, 'type', kept.type,
    'quantity', trim_scale(kept.quantity)::text, 'price', trim_scale(kept.price)::text, 'status', kept.status,
    'node', kept.node, 'epoch', kept.epoch, 'acceptedAt', to_char(kept.accepted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'idempotencyKey', kept.idempotency_key)
$shown$;

-- Accepts an order, or finds the one that its key has already. One statement, so that an engine which stops in the
-- middle leaves no transaction open.
CREATE OR REPLACE FUNCTION veloz_engine.accept(
  p_id text, p_key text, p_fingerprint text, p_symbol text, p_side text, p_type text, p_quantity numeric, p_price numeric,
  p_node text, p_epoch bigint, p_at timestamptz
) RETURNS jsonb
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $accept$
DECLARE
  earlier veloz_engine.orders;
BEGIN
  INSERT INTO veloz_engine.orders (id, idempotency_key, fingerprint, symbol, side, type, quantity, price, node, epoch, accepted_at)
  VALUES (p_id, p_key, p_fingerprint, p_symbol, p_side, p_type, p_quantity, p_price, p_node, p_epoch, p_at)
  ON CONFLICT (idempotency_key) DO NOTHING;
  IF FOUND THEN
    RETURN NULL;
  END IF;
  SELECT * INTO STRICT earlier FROM veloz_engine.orders WHERE idempotency_key = p_key;
  -- The earlier order may be on this server's disk only (a standby that was gone when it crashed). A commit that writes
  -- waits for the standby, and so for all that was written before it; one that only reads would not.
  PERFORM pg_logical_emit_message(true, 'veloz_engine', p_key);
  RETURN jsonb_build_object('fingerprint', earlier.fingerprint, 'order', veloz_engine.shown(earlier));
END $accept$;

INSERT INTO veloz_engine.schema_version (version) VALUES (${SCHEMA_VERSION}) ON CONFLICT DO NOTHING;
`;
