-- What PostgreSQL takes in other words than SQLite, see ../tasks.sql.

-- name: now_ms
-- Now on the clock of leases, which is the database's own.
select (extract(epoch from clock_timestamp()) * 1000)::bigint;
