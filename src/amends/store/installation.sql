-- name: get_id
select value from meta where name = 'installation';

-- name: insert_id
insert into meta (name, value) values ('installation', :id);
