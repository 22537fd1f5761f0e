-- What PostgreSQL takes in other words than SQLite, see ../accounts.sql.

-- name: lock_name
-- There is no row yet that could be locked: who is new is made once, and whoever asks next finds them.
select pg_advisory_xact_lock(hashtextextended('amends user ' || ?, 0));

-- name: lock_user
select 1 from user_account where id = ? for update;

-- name: lock_owners
select 1 from user_account where workspace_id = ? and role = 'owner' order by id for update;
