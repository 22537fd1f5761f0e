-- What is to be remembered of upstreams beyond a restart: until when nobody may call one, by the wall clock.

create table upstream (
  name text primary key,
  calm_until real not null
) strict, without rowid;
