-- The twin of SQLite's 0005.

create table upstream (
  name text collate "C" primary key,
  calm_until double precision not null
);
