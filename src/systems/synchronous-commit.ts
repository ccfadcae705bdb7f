import { STANDBY_CONFIRMS } from '../cluster/synchronous-commit';

/**
 * SQL: does this stored value of `synchronous_commit` let commits pass without a standby? ALTER ROLE and ALTER DATABASE keep it as it was
 * typed, and PostgreSQL reads it in capitals too.
 */
export const isWeak = (value: string): string =>
  `lower(${value}) NOT IN (${STANDBY_CONFIRMS.map((word) => `'${word}'`).join(', ')})`;

/**
 * SQL: `synchronous_commit` of the whole server, no row where that is hidden. Sessions of the control role set their own, so what they
 * would fall back to is read; a setting that somebody made for the control role, its database, or every role stands before the server's.
 */
export const serverCommit = `SELECT p.reset_val AS value FROM pg_settings p WHERE p.name = 'synchronous_commit' AND NOT EXISTS (
      SELECT FROM pg_db_role_setting h, unnest(h.setconfig) AS c(entry)
      WHERE split_part(c.entry, '=', 1) = 'synchronous_commit'
        AND h.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
        AND h.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())))`;
