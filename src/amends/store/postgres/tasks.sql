-- What PostgreSQL takes in other words than SQLite, see ../tasks.sql.

-- name: now_ms
-- Now on the clock of leases, which is the database's own.
select (extract(epoch from clock_timestamp()) * 1000)::bigint;

-- name: next_level
select level from task where order_id = :order_id and level > :above order by level limit 1;

-- name: next_of_level
-- Said so that only the index will do, whatever the statistics: in an order that is the index's alone, and with subqueries that are no joins.
select t.seq from task t
where t.order_id = :order_id and t.level >= :level and t.level <= :level and (t.level, t.seq) > (:level, :after)
  and (select count(*) from response r where r.order_id = t.order_id and r.seq = t.seq and r.annotator_id = :annotator_id) = 0
  and (select count(*) from skip s where s.order_id = t.order_id and s.seq = t.seq and s.annotator_id = :annotator_id) = 0
  and (select count(*) from task_lease l
    where l.order_id = t.order_id and l.seq = t.seq and l.annotator_id = :annotator_id and l.lapsed = 0) = 0
order by t.level, t.seq limit 1;

-- name: last_of_level
select seq from task where order_id = :order_id and level >= :level and level <= :level order by level desc, seq desc limit 1;

-- name: next_gold
select t.seq from task t
where t.order_id = :order_id and t.truth is not null
  and (select count(*) from response r where r.order_id = t.order_id and r.seq = t.seq and r.annotator_id = :annotator_id) = 0
  and (select count(*) from skip s where s.order_id = t.order_id and s.seq = t.seq and s.annotator_id = :annotator_id) = 0
  and (select count(*) from task_lease l
    where l.order_id = t.order_id and l.seq = t.seq and l.annotator_id = :annotator_id and l.lapsed = 0) = 0
order by t.seq limit 1;
