-- What PostgreSQL takes in other words than SQLite, see ../workspaces.sql.

-- name: lock_names
-- A name that is new is made once: whoever looks next finds it. Advisory, since there is no row yet to lock.
select pg_advisory_xact_lock(hashtextextended('amends workspace ' || :name, 0));
