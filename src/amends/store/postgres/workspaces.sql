-- What PostgreSQL takes in other words than SQLite, see ../workspaces.sql.

-- name: lock_name
-- There is no row yet that could be locked: a name that is new is made once, and whoever asks next finds it.
select pg_advisory_xact_lock(hashtextextended('amends name ' || ?, 0));
