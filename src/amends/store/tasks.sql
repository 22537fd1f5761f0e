-- name: get_task
select order_id, seq, datapoint_id, needed, received, leased, state, choices, truth from task where order_id = :order_id and seq = :seq;

-- name: task_of_datapoint
select t.seq from datapoint d join task t on t.order_id = :order_id and t.seq = d.seq and t.datapoint_id = d.id
where d.id = :datapoint_id;

-- name: lapsed_leases
-- Those whose time is up, or that another boot's clock timed.
select id, seq from task_lease
where order_id = :order_id and lapsed = 0 and (expires_ms <= :now_ms or boot <> :boot) limit :limit;

-- name: lapse_lease
update task_lease set lapsed = 1 where id = :id;

-- name: free_place
update task set leased = leased - 1 where order_id = :order_id and seq = :seq;

-- name: take_place
update task set leased = leased + 1 where order_id = :order_id and seq = :seq;

-- name: held_leases
select count(*) from task_lease where annotator_id = :annotator_id and lapsed = 0;

-- name: oldest_held
select id, seq from task_lease where annotator_id = :annotator_id and lapsed = 0 order by created_at, seq limit 1;

-- name: next_level
-- The hint is for want of statistics: without them the primary key looks as good, which it is not, and has twins without it.
-- The least number of missing answers, above :above, of tasks that may be handed out.
select level from task indexed by task_free where order_id = :order_id and level > :above order by level limit 1;

-- name: next_of_level
-- The first of these tasks after :after that the annotator has not answered, skipped or under way.
select t.seq from task t indexed by task_free
where t.order_id = :order_id and t.level = :level and t.seq > :after
  and not exists (select 1 from response r where r.order_id = t.order_id and r.seq = t.seq and r.annotator_id = :annotator_id)
  and not exists (select 1 from skip s where s.order_id = t.order_id and s.seq = t.seq and s.annotator_id = :annotator_id)
  and not exists (select 1 from task_lease l
    where l.order_id = t.order_id and l.seq = t.seq and l.annotator_id = :annotator_id and l.lapsed = 0)
order by t.seq limit 1;

-- name: last_of_level
select seq from task indexed by task_free where order_id = :order_id and level = :level order by seq desc limit 1;

-- name: next_gold
select t.seq from task t indexed by task_gold
where t.order_id = :order_id and t.truth is not null
  and not exists (select 1 from response r where r.order_id = t.order_id and r.seq = t.seq and r.annotator_id = :annotator_id)
  and not exists (select 1 from skip s where s.order_id = t.order_id and s.seq = t.seq and s.annotator_id = :annotator_id)
  and not exists (select 1 from task_lease l
    where l.order_id = t.order_id and l.seq = t.seq and l.annotator_id = :annotator_id and l.lapsed = 0)
order by t.seq limit 1;

-- name: drop_lapsed
-- What the annotator let lapse of a task that it is handed again.
delete from task_lease where order_id = :order_id and seq = :seq and annotator_id = :annotator_id and lapsed = 1;

-- name: insert_lease
insert into task_lease (id, order_id, seq, annotator_id, expires_ms, boot, created_at)
values (:id, :order_id, :seq, :annotator_id, :expires_ms, :boot, :created_at);

-- name: get_lease
select l.id, l.order_id, l.seq, l.annotator_id, t.datapoint_id, l.expires_ms, l.boot, l.lapsed
from task_lease l join task t on t.order_id = l.order_id and t.seq = l.seq where l.id = :id;

-- name: renew_lease
update task_lease set expires_ms = :expires_ms, boot = :boot where id = :id and lapsed = 0;

-- name: refence_lease
update task_lease set id = :new_id, expires_ms = :expires_ms, boot = :boot, created_at = :now where id = :id;

-- name: delete_lease
delete from task_lease where id = :id;

-- name: insert_response
insert into response (order_id, seq, annotator_id, answer, elapsed_ms, number, created_at)
select :order_id, :seq, :annotator_id, :answer, :elapsed_ms,
  coalesce((select max(number) from response where annotator_id = :annotator_id), 0) + 1, :now
on conflict (order_id, seq, annotator_id) do nothing;

-- name: delete_response
delete from response where order_id = :order_id and seq = :seq and annotator_id = :annotator_id;

-- name: last_response
select seq, answer from response where annotator_id = :annotator_id order by number desc limit 1;

-- name: votes_of
-- What was answered, and how the annotator fared where the truth is known.
select r.answer, a.gold_right, a.gold_asked from response r join annotator a on a.id = r.annotator_id
where r.order_id = :order_id and r.seq = :seq;

-- name: set_task
update task set received = received + :received, leased = leased + :leased, state = :state where order_id = :order_id and seq = :seq;

-- name: insert_skip
insert into skip (order_id, seq, annotator_id, reason, created_at) values (:order_id, :seq, :annotator_id, :reason, :now)
on conflict (order_id, seq, annotator_id) do nothing;

-- name: tasks_after
select order_id, seq, datapoint_id, needed, received, leased, state, choices, truth from task
where order_id = :order_id and seq > :after order by seq limit :limit;

-- name: responses_between
select seq, annotator_id, answer, elapsed_ms, number, created_at from response
where order_id = :order_id and seq > :after and seq <= :until order by seq, created_at, annotator_id;

-- name: answered_tasks
-- The next tasks that have responses.
select distinct seq from response where order_id = :order_id and seq > :after order by seq limit :limit;

-- name: gold_truths
select seq, truth from task where order_id = :order_id and truth is not null order by seq;

-- name: answers_given
-- The most frequent ones.
select answer, count(*) from response where order_id = :order_id group by answer order by count(*) desc, answer limit :limit;

-- name: answering_time
select min(created_at), max(created_at) from response where order_id = :order_id;

-- name: answers_over_time
select floor((created_at - :first) / :step), count(*) from response where order_id = :order_id
group by 1 order by 1;

-- name: skips_between
select seq, annotator_id, reason, created_at from skip
where order_id = :order_id and seq > :after and seq <= :until order by seq, created_at, annotator_id;

-- name: counted
-- What the sums of an order ought to be, counted.
select
  (select count(*) from task where order_id = :order_id and truth is null),
  (select count(*) from task where order_id = :order_id and truth is null and state = 'done'),
  (select count(*) from response r join task t on t.order_id = r.order_id and t.seq = r.seq
    where r.order_id = :order_id and t.truth is null),
  (select count(*) from task t where t.order_id = :order_id and (
    t.received <> (select count(*) from response r where r.order_id = t.order_id and r.seq = t.seq)
    or t.leased <> (select count(*) from task_lease l where l.order_id = t.order_id and l.seq = t.seq and l.lapsed = 0)));
