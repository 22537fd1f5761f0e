-- name: calm
-- An upstream that asked for less before keeps the longer of the two.
insert into upstream (name, calm_until) values (:name, :until)
on conflict (name) do update set
  calm_until = case when upstream.calm_until > excluded.calm_until then upstream.calm_until else excluded.calm_until end;

-- name: drop_over
delete from upstream where calm_until <= :now;

-- name: cool_downs
select name, calm_until - :now from upstream where calm_until > :now;
