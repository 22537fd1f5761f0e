-- What PostgreSQL takes in other words than SQLite, see ../sqlite/creating.sql.

-- name: lock_workspace
-- Its runs are counted, and one is added only then.
select pg_advisory_xact_lock(hashtextextended('amends runs of ' || ?, 0));

-- name: unfinished_runs
select count(*) from run
where state in ('receiving', 'validating', 'in_progress', 'finalizing', 'cancelling')
  and workspace_id = :workspace_id and deleted = 0;

-- name: insert_items
copy item (key, custom_id, payload, input_hash) from stdin (format binary);

-- name: insert_origins
insert into item_origin (run_no, origin, seq)
select ?, column1, column2 from unnest(?::bigint[], ?::bigint[]) as rows (column1, column2);

-- name: duplicates
select seq, custom_id, count(*) over () from (
  select custom_id, key & 4294967295 as seq,
    lag(custom_id) over (order by custom_id, key) as previous
  from item where key between :run_no << 32 and (:run_no << 32) | 4294967295) as named
where custom_id = previous order by seq limit 1000;

-- name: insert_pending
insert into pending (run_no, lo, hi, held)
select ?, column1, column2, column3 from unnest(?::bigint[], ?::bigint[], ?::boolean[]) as rows (column1, column2, column3);

-- name: seal
update run set state = :state, held = :held, in_progress_at = case when :state = 'in_progress' then :now::double precision end
where no = :run_no and state = 'receiving';
